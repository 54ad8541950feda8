"""Access tokens and shared access signatures: issued here, checked here."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlencode

import jwt

from azureml_local.errors import Forbidden, Unauthorized
from azureml_local.settings import Settings
from azureml_local.state.clock import Clock
from azureml_local.state.damage import DamagedState
from azureml_local.state.places import account_of

# Code written for the public cloud asks a token for one of these.
# Of Azure ML itself: the public cloud's, and what azure-ai-ml makes of a cloud whose portal has no domain.
ML_AUDIENCES = ("https://ml.azure.com", "https://ml.azure.")
_PUBLIC_AUDIENCES = (
    "https://management.azure.com",
    "https://management.core.windows.net",
    *ML_AUDIENCES,
)
_TOKEN_LIFETIME = 3600
_REMEMBERED = 256  # tokens
_SKEW = 300  # seconds by which clocks may differ, as for Microsoft's own libraries
_SAS_LIFETIME = timedelta(hours=1)
_SAS_VERSION = "2023-11-03"
_PERMISSIONS = "racwdl"
_TICKS_OF_1970 = 621_355_968_000_000_000


@dataclass(frozen=True)
class Secrets:
    """What one state directory signs and recognises with; made once, kept in a file only its owner reads."""

    signing_key: str
    identity_header: str
    admin: str

    @classmethod
    def of(cls, path: Path) -> Secrets:
        """Read the file, or write it first; raises DamagedState."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            made = cls(secrets.token_hex(32), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        except (ValueError, TypeError) as error:
            remedy = (
                "Delete it: a new one is made, and tokens and links to the page of before hold no longer."
            )
            raise DamagedState(path, "it does not hold the workspace's secrets", remedy) from error
        fresh = path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(made.__dict__, file)
        os.replace(fresh, path)
        return made


class Tokens:
    """Signs and checks bearer tokens (JWT) and shared access signatures (SAS).

    A signature opens the storage account of its own workspace; tokens are valid for all workspaces.
    """

    def __init__(self, settings: Settings, secrets: Secrets, clock: Clock) -> None:
        self._settings = settings
        self._key = secrets.signing_key
        self._clock = clock
        self._issuer = f"https://sts.windows.net/{settings.tenant_id}/"
        # A client sends the same token with each request: its signature need be computed once.
        self._claims = lru_cache(maxsize=_REMEMBERED)(self._verified)

    def issue(
        self, resource: str, lifetime: int = _TOKEN_LIFETIME, *, run: str | None = None
    ) -> tuple[str, int]:
        """An access token for the audience `resource`, and the second since the epoch when it expires.

        One of a `run` is the job's own, which writes its metrics whatever the roles of its submitter.
        """
        now = int(self._clock.timestamp())
        expires = now + lifetime
        claims = {
            "aud": resource,
            "iss": self._issuer,
            "tid": self._settings.tenant_id,
            "oid": "00000000-0000-0000-0000-00000000000b",
            "sub": "00000000-0000-0000-0000-00000000000b",
            "appid": "00000000-0000-0000-0000-00000000000c",
            "name": "local user",
            "idtyp": "app",
            "iat": now,
            # Of the real time: a token from when the clock was ahead stays valid when it is set back.
            "nbf": int(time.time()),
            "exp": expires,
        }
        if run is not None:
            claims["run"] = run
        return jwt.encode(claims, self._key, algorithm="HS256"), expires

    def check(self, authorization: str | None, *also: str) -> Mapping[str, object]:
        """The claims of a request's bearer token; raises Unauthorized with the reason.

        The token must be for Resource Manager, this server's or the public cloud's, or for one of `also`.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.casefold() != "bearer" or not token:
            raise Unauthorized(
                "Authentication failed. The 'Authorization' header is missing or is not a bearer token.",
                code="AuthenticationFailed",
            )
        claims = self._claims(token)
        self._check_claims(claims, (self._settings.base_url, *_PUBLIC_AUDIENCES, *also))
        return claims

    def _verified(self, token: str) -> Mapping[str, object]:
        """What the token claims, if we have signed it."""
        try:
            claims: dict[str, object] = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthorized(f"The access token is invalid: {error}.") from error
        return claims

    def _check_claims(self, claims: Mapping[str, object], audiences: tuple[str, ...]) -> None:
        # Not left to the library: the workspace's clock can be moved by a test, the library's cannot.
        expires = claims.get("exp")
        if not isinstance(expires, int) or expires <= self._clock.timestamp():
            raise Unauthorized(
                "The access token expiry UTC time has passed.", code="ExpiredAuthenticationToken"
            )
        begins = claims.get("nbf")
        if not isinstance(begins, int) or begins > self._clock.timestamp() + _SKEW:
            raise Unauthorized("The access token is not valid yet.", code="InvalidAuthenticationToken")
        # As Resource Manager answers to a token of another directory, in short.
        if claims.get("iss") != self._issuer:
            raise Unauthorized(
                f"The access token is from the wrong issuer '{claims.get('iss', '')}'. It must match the "
                f"tenant '{self._issuer}' associated with this subscription.",
                code="InvalidAuthenticationTokenTenant",
            )
        audience = str(claims.get("aud", "")).rstrip("/")
        if audience not in audiences:
            raise Unauthorized(
                f"The access token has been obtained for wrong audience '{audience}'; "
                f"it should be '{self._settings.base_url}/'.",
                code="InvalidAuthenticationTokenAudience",
            )

    def sas(
        self,
        container: str,
        blob: str | None = None,
        *,
        permissions: str = _PERMISSIONS,
        lifetime: timedelta = _SAS_LIFETIME,
    ) -> str:
        """A SAS query string for a container, or for one blob in it."""
        now = self._clock.now()
        fields = {
            "sv": _SAS_VERSION,
            "sr": "c" if blob is None else "b",
            "st": _sas_time(now - timedelta(minutes=10)),
            "se": _sas_time(now + lifetime),
            "sp": permissions,
            "spr": "https",
        }
        return urlencode(fields | {"sig": self._signature(fields, container, blob)})

    def account_sas(self, account: str = "") -> str:
        """A SAS query string for all containers of the account, for an hour; without a name, of the own."""
        now = self._clock.now()
        fields = {
            "sv": _SAS_VERSION,
            "ss": "b",
            "srt": "sco",
            "st": _sas_time(now - timedelta(minutes=10)),
            "se": _sas_time(now + _SAS_LIFETIME),
            "sp": _PERMISSIONS,
            "spr": "https",
        }
        return urlencode(fields | {"sig": self._signature(fields, account, None)})

    def check_sas(self, query: Mapping[str, str], container: str, blob: str, permissions: str) -> None:
        """Raise unless the query's signature covers the blob and grants one of `permissions` now."""
        if "sig" not in query:
            raise Unauthorized(
                "Server failed to authenticate the request: the query has no shared access signature.",
                code="NoAuthenticationInformation",
            )
        is_account = "srt" in query
        scoping = ("ss", "srt") if is_account else ("sr",)
        fields = {name: query.get(name, "") for name in ("sv", *scoping, "st", "se", "sp", "spr")}
        scope = blob if fields.get("sr") == "b" else None
        container = account_of(container) if is_account else container
        if not hmac.compare_digest(query["sig"].encode(), self._signature(fields, container, scope).encode()):
            raise Forbidden(
                "Server failed to authenticate the request. The signature does not match.",
                code="AuthenticationFailed",
            )
        if not fields["st"] <= _sas_time(self._clock.now()) < fields["se"]:
            raise Forbidden(
                f"The signature is not valid now: it holds from {fields['st']} to {fields['se']}.",
                code="AuthenticationFailed",
            )
        if not set(permissions) & set(fields["sp"]):
            raise Forbidden(
                "This request is not authorized to perform this operation using this permission.",
                code="AuthorizationPermissionMismatch",
            )

    def operation_query(self, operation_id: str) -> str:
        """The query by which a long operation of an endpoint is polled: time, certificate, signature, hash.

        Recorded in 2025, 2.5 kB long: `t` counts 100 ns since the year 1, `c` is a certificate.
        """
        fields = {"t": str(int(self._clock.timestamp() * 10**7) + _TICKS_OF_1970), "c": self._certificate()}
        signed = self._signature(fields, operation_id, None)
        return urlencode(fields | {"s": signed, "h": hashlib.sha256(signed.encode()).hexdigest()})

    def check_operation(self, query: Mapping[str, str], operation_id: str) -> None:
        """Raise Forbidden unless the query is one that `operation_query` gave for that operation."""
        fields = {name: query.get(name, "") for name in "tc"}
        signed = self._signature(fields, operation_id, None)
        wanted = (signed, hashlib.sha256(signed.encode()).hexdigest())
        given = (query.get("s", ""), query.get("h", ""))
        if not all(hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(given, wanted, strict=True)):
            raise Forbidden("The operation's address has been changed: poll it as it was given.")

    def _certificate(self) -> str:
        path = self._settings.ca_path
        return base64.urlsafe_b64encode(path.read_bytes()).decode() if path.exists() else ""

    def _signature(self, fields: Mapping[str, str], container: str, blob: str | None) -> str:
        given = [f"{name}={value}" for name, value in fields.items()]
        text = "\n".join([*given, self._settings.storage, container, blob or ""])
        return hmac.new(self._key.encode(), text.encode(errors="replace"), hashlib.sha256).hexdigest()


def _sas_time(moment: datetime) -> str:
    """The one format used here, so that times compare as text."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
