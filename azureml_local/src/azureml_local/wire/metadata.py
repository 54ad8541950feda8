"""What a client asks before it has a token: the cloud's endpoints, and the token itself."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Unauthorized
from azureml_local.wire.arm import route, workspace_of


def endpoints(request: Request) -> Response:
    """The one cloud there is, in the shape of Resource Manager's /metadata/endpoints."""
    settings = workspace_of(request).settings
    base = settings.base_url
    cloud = {
        "name": settings.cloud,
        "portal": base,
        "resourceManager": base + "/",
        "authentication": {
            # azureml-mlflow refuses a login host with a port.
            "loginEndpoint": "https://login.localhost",
            "audiences": [base + "/"],
            "tenant": settings.tenant_id,
            "identityProvider": "AAD",
        },
        "suffixes": {"storage": settings.storage_suffix},
        **dict.fromkeys(
            (
                "media",
                "graph",
                "graphAudience",
                "gallery",
                "batch",
                "sqlManagement",
                "vmImageAliasDoc",
                "activeDirectoryDataLake",
            ),
            base,
        ),
    }
    return JSONResponse([cloud])


def token(request: Request) -> Response:
    """A managed identity's token, as App Service answers it (2019-08-01)."""
    workspace = workspace_of(request)
    header = request.headers.get("X-IDENTITY-HEADER", "")
    if not hmac.compare_digest(header.encode(), workspace.secrets.identity_header.encode()):
        raise Unauthorized("The X-IDENTITY-HEADER is missing or wrong: take it from `azureml-local env`.")
    resource = request.query_params.get("resource")
    if not resource:
        raise BadRequest("The query parameter 'resource' is missing.", target="resource")
    access_token, expires = workspace.tokens.issue(resource)
    return JSONResponse(
        {
            "access_token": access_token,
            "client_id": "00000000-0000-0000-0000-00000000000c",
            "expires_on": str(expires),
            "resource": resource,
            "token_type": "Bearer",
        }
    )


routes = [
    route("/metadata/endpoints", GET=endpoints),
    route("/msi/token", GET=token),
]
