"""Microsoft Entra's token service, for credentials with a secret, a certificate or a federated token.

They know one address, login.microsoftonline.com, and are led here by the proxy (wire/proxy.py), which alone
may ask: whoever is let through to it has shown the workspace's secret. Any application of any tenant is the
workspace's one user. Documented: OpenID Connect discovery, and the client credentials flow of OAuth 2.0 v2.
"""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import Unauthorized
from azureml_local.wire.arm import route, workspace_of
from azureml_local.wire.proxy import LOGIN_HOSTS

_LOGIN = LOGIN_HOSTS[0]
_PROOFS = ("client_secret", "client_assertion")


def instance_discovery(request: Request) -> Response:
    """The hosts that are one and the same authority."""
    _check(request)
    hosts = {"preferred_network": _LOGIN, "preferred_cache": LOGIN_HOSTS[1], "aliases": list(LOGIN_HOSTS)}
    return JSONResponse(
        {
            "tenant_discovery_endpoint": f"https://{_LOGIN}/common/v2.0/.well-known/openid-configuration",
            "api-version": "1.1",
            "metadata": [hosts],
        }
    )


def configuration(request: Request) -> Response:
    """Where a tenant's tokens are to be had."""
    _check(request)
    tenant = request.path_params["tenant"]
    oauth = f"https://{_LOGIN}/{tenant}/oauth2/v2.0"
    return JSONResponse(
        {
            "issuer": f"https://{_LOGIN}/{tenant}/v2.0",
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "device_authorization_endpoint": f"{oauth}/devicecode",
            "jwks_uri": f"https://{_LOGIN}/{tenant}/discovery/v2.0/keys",
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
        }
    )


def token(request: Request) -> Response:
    """A token for the scope, where an application proves itself; whatever its proof is."""
    _check(request)
    form = {name: values[0] for name, values in parse_qs(request.state.raw.decode(errors="replace")).items()}
    if form.get("grant_type") != "client_credentials":
        return _refused(
            "unsupported_grant_type",
            "AADSTS70003: the local workspace has no users to sign in: only applications get tokens here "
            "(client_credentials).",
        )
    if not form.get("client_id") or not any(form.get(name) for name in _PROOFS):
        return _refused("invalid_request", "AADSTS900144: 'client_id' and 'client_secret' are needed.")
    resource = form.get("scope", "").removesuffix("/.default")
    if not resource or " " in resource:
        return _refused("invalid_scope", "AADSTS70011: the scope must be one resource's /.default.")
    workspace = workspace_of(request)
    issued, expires = workspace.tokens.issue(resource)
    lasts = expires - int(workspace.clock.timestamp())
    return JSONResponse(
        {"token_type": "Bearer", "expires_in": lasts, "ext_expires_in": lasts, "access_token": issued}
    )


def _check(request: Request) -> None:
    """Raise Unauthorized unless the request comes through the proxy."""
    client = request.client
    if client is None or client.port not in workspace_of(request).proxied:
        raise Unauthorized("Tokens are given to those alone who come through the workspace's proxy.")


def _refused(code: str, description: str) -> Response:
    return JSONResponse({"error": code, "error_description": description}, 400)


routes = [
    route("/common/discovery/instance", GET=instance_discovery),
    route("/{tenant}/v2.0/.well-known/openid-configuration", GET=configuration),
    route("/{tenant}/oauth2/v2.0/token", POST=token),
]
