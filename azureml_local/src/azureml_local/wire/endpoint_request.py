"""The body of a request to create or change an endpoint, checked."""

from __future__ import annotations

import re
import secrets

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.state.endpoint_documents import EndpointKeys, EndpointProperties
from azureml_local.wire.fields import record, text, texts

# Azure's rule for the names of endpoints and deployments; the length is checked apart.
_NAME = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_AUTH_MODES = {mode.casefold(): mode for mode in ("Key", "AMLToken", "AADToken")}
_MAX_MIRRORED = 50  # per cent, Azure's limit


def check_name(name: str, what: str) -> None:
    """Raise BadRequest unless the name of an endpoint or a deployment is legal."""
    if not 3 <= len(name) <= 32 or not _NAME.fullmatch(name):
        raise BadRequest(
            f"The {what} name {name!r} is not valid: 3 to 32 letters, digits and hyphens, beginning with a "
            "letter and not ending with a hyphen.",
            code="BadArgument",
            target="name",
        )


def settings(given: Json, old: EndpointProperties | None, deployed: set[str]) -> EndpointProperties:
    """An endpoint's properties; raises BadRequest for what is not allowed.

    `old` are those it has, None for a new one; `deployed` are the names of its deployments.
    """
    mode = _AUTH_MODES.get(str(given.get("authMode", "")).casefold())
    if mode is None:
        raise BadRequest(f"authMode must be one of {', '.join(_AUTH_MODES.values())}.", target="authMode")
    traffic = _shares(given, "traffic", old["traffic"] if old else {}, deployed)
    if sum(traffic.values()) not in (0, 100):
        raise BadRequest(
            f"The traffic of all deployments must sum to 0 or 100, not {sum(traffic.values())}.",
            target="traffic",
        )
    mirrored = _shares(given, "mirrorTraffic", old["mirrorTraffic"] if old else {}, deployed)
    if len(mirrored) > 1 or any(share > _MAX_MIRRORED for share in mirrored.values()):
        raise BadRequest(
            f"Traffic can be mirrored to one deployment, up to {_MAX_MIRRORED} per cent.",
            target="mirrorTraffic",
        )
    if any(traffic.get(deployment) for deployment in mirrored):
        raise BadRequest(
            "A deployment with live traffic cannot get mirrored traffic.", target="mirrorTraffic"
        )
    return {
        "description": text(given, "description"),
        "properties": texts(given, "properties"),
        "authMode": mode,
        "publicNetworkAccess": text(given, "publicNetworkAccess") or "Enabled",
        "compute": None,
        "traffic": traffic,
        "mirrorTraffic": mirrored,
        "provisioningState": old["provisioningState"] if old else "Creating",
    }


def _shares(given: Json, which: str, old: dict[str, int], deployed: set[str]) -> dict[str, int]:
    """Per cent by deployment, under the deployments' own spelling."""
    value = given.get(which)
    if value is None:
        value = old
    if not isinstance(value, dict):
        raise BadRequest(f"{which} must be an object of percentages.", target=which)
    spelling = {name.casefold(): name for name in deployed}
    shares: dict[str, int] = {}
    for name, share in value.items():
        if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
            raise BadRequest(f"{which} of '{name}' must be a whole number from 0 to 100.", target=which)
        if name.casefold() not in spelling:
            raise BadRequest(
                f"{which} names '{name}', which is not a deployment of this endpoint.", target=which
            )
        shares[spelling[name.casefold()]] = share
    return shares


def initial_keys(given: Json) -> EndpointKeys:
    """The keys of a new endpoint: those that the body gives, others made up."""
    keys = record(given, "keys") or {}
    return {
        "primaryKey": text(keys, "primaryKey") or new_key(),
        "secondaryKey": text(keys, "secondaryKey") or new_key(),
    }


def new_key() -> str:
    """A key that nobody can guess."""
    return secrets.token_urlsafe(32)
