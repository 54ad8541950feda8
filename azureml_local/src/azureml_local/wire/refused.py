"""What Azure ML has and this workspace has not: refused with the reason, in the shape of Azure's errors.

A client that is answered 404 takes the resource for one that was not made yet, and goes on to make it. So the
status is 400, for every method.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from azureml_local.errors import BadRequest
from azureml_local.wire.arm import WORKSPACE, route

_METHODS = ("GET", "PUT", "PATCH", "POST", "DELETE")
# Collections below a workspace, and why they are not here.
COLLECTIONS: Mapping[str, str] = {
    "featuresets": "there is no Spark here to materialise features",
    "featurestoreEntities": "there is no Spark here to materialise features",
    "inferencePools": "deployments here run on this machine alone",
    "marketplaceSubscriptions": "nothing is bought here",
    "outboundRules": "there is no managed network here",
    "privateEndpointConnections": "there is no private network here",
    "serverlessEndpoints": "models of other vendors are not served here",
}


def _refuse(request: Request) -> Response:
    collection = next(part for part in request.url.path.split("/") if part in COLLECTIONS)
    raise BadRequest(
        f"{collection} are not part of the local workspace: {COLLECTIONS[collection]}.",
        code="UserError",
        inner=("BadArgument", "NotSupported"),
    )


routes = [
    route(f"{WORKSPACE}/{collection}{rest}", **dict.fromkeys(_METHODS, _refuse))
    for collection in COLLECTIONS
    for rest in ("", "/{rest:path}")
]
