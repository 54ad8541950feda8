"""Managed online endpoints: the addresses that deployments share, their keys and their traffic."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.deployment import check_name
from azureml_local.execution.deployments import DEPLOYMENTS, ENDPOINTS, FOREIGN_ENDPOINTS
from azureml_local.execution.workspace import Workspace
from azureml_local.fields import identity, record, text, texts
from azureml_local.settings import INFERENCE
from azureml_local.state import transitions
from azureml_local.state.clock import iso
from azureml_local.state.store import Document
from azureml_local.wire.arm import WORKSPACE, body, page, properties, resource, route, workspace_of
from azureml_local.wire.operation import accepted, address

# What stands beside the properties, where it is known.
ENVELOPE = ("tags", "location", "kind", "identity", "sku", "systemData")

_PATH = WORKSPACE + "/onlineEndpoints"
_AUTH_MODES = {mode.casefold(): mode for mode in ("Key", "AMLToken", "AADToken")}
_MAX_MIRRORED = 50  # per cent, Azure's limit
_TOKEN_REFRESH = 0.5  # of a token's life: when its holder should ask for the next
_BUSY = ("Creating", "Updating", "Deleting", "Scaling")


def find(workspace: Workspace, name: str) -> Document:
    """The stored endpoint; raises NotFound."""
    document = workspace.store.get(ENDPOINTS, name)
    if document is None:
        raise NotFound(
            f"The online endpoint '{name}' was not found in workspace '{workspace.settings.workspace}'.",
            code="ResourceNotFound",
        )
    return document


def check_idle(document: Document, what: str) -> None:
    """Raise Conflict while an earlier operation on the resource has not ended."""
    state = document["properties"]["provisioningState"]
    if state in _BUSY:
        raise Conflict(
            f"Another operation on the {what} '{document['name']}' is in progress ({state}): wait."
        )


def envelope(request: Request, old: Document) -> Document:
    """What a request sets beside the properties of an endpoint or deployment; what it leaves out stays."""
    given, workspace = body(request), workspace_of(request)
    now = iso(workspace.clock.now())
    made = old.get("systemData") or {"createdAt": now, "createdBy": "local user"}
    known = identity(given) or old.get("identity")
    return {
        "tags": texts(given, "tags") if given.get("tags") is not None else old.get("tags", {}),
        **({"identity": known} if known else {}),
        "location": workspace.settings.location,
        "systemData": {**made, "lastModifiedAt": now},
    }


def noted(request: Request, kind: str, name: str, operation_id: str) -> Document:
    """Keep the operation's address among the resource's properties, as the service does."""

    def change(old: Document) -> Document:
        kept = {**old["properties"]["properties"], "AzureAsyncOperationUri": address(request, operation_id)}
        return {**old, "properties": {**old["properties"], "properties": kept}}

    return workspace_of(request).store.update(kind, name, change)


def get(request: Request) -> Response:
    workspace = workspace_of(request)
    return JSONResponse(_resource(workspace, find(workspace, request.path_params["endpoint"])))


def list_all(request: Request) -> Response:
    workspace = workspace_of(request)
    return page(request, [_resource(workspace, document) for _, document in workspace.store.list(ENDPOINTS)])


def put(request: Request) -> Response:
    """Create an endpoint, or change its traffic, tags and description."""
    workspace, name, given = workspace_of(request), request.path_params["endpoint"], properties(request)
    check_name(name, "endpoint")
    existing = workspace.store.get(ENDPOINTS, name)
    if existing is None:
        return _create(request, workspace, name, given)
    check_idle(existing, "endpoint")
    wanted = _endpoint(workspace, existing["name"], given, existing["properties"])
    if wanted["authMode"] != existing["properties"]["authMode"]:
        raise BadRequest("The authMode of an endpoint cannot be changed: create another.", target="authMode")
    workspace.store.update(
        ENDPOINTS, name, lambda old: {**old, **envelope(request, old), "properties": wanted}
    )
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.UPDATE_ENDPOINT)
    document = noted(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _resource(workspace, document, "Updating"), 200)


def patch(request: Request) -> Response:
    """Change tags and identity."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    check_idle(find(workspace, name), "endpoint")
    workspace.store.update(ENDPOINTS, name, lambda old: {**old, **envelope(request, old)})
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.UPDATE_ENDPOINT)
    document = noted(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _resource(workspace, document, "Updating"), 202)


def delete(request: Request) -> Response:
    """Delete the endpoint and all its deployments, whatever they are doing."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    if workspace.store.get(ENDPOINTS, name) is None:
        return Response(status_code=204)
    operation = workspace.operations.begin(
        ENDPOINTS, name, transitions.DELETE_ENDPOINT, work=lambda: workspace.deployments.stop_all(name)
    )
    return accepted(request, operation, None, 202)


def list_keys(request: Request) -> Response:
    workspace = workspace_of(request)
    document = find(workspace, request.path_params["endpoint"])
    keyed = document["properties"]["authMode"] == "Key"
    return JSONResponse(document["keys"] if keyed else {"primaryKey": None, "secondaryKey": None})


def regenerate_keys(request: Request) -> Response:
    workspace, name, given = workspace_of(request), request.path_params["endpoint"], body(request)
    if find(workspace, name)["properties"]["authMode"] != "Key":
        raise BadRequest(f"The endpoint '{name}' does not use keys for authentication.", code="BadArgument")
    kind = str(given.get("keyType", "")).casefold()
    if kind not in ("primary", "secondary"):
        raise BadRequest("keyType must be Primary or Secondary.", target="keyType")
    value = given.get("keyValue")
    if value is not None and not isinstance(value, str):
        raise BadRequest("keyValue must be a string.", target="keyValue")

    def changed(old: Document) -> Document:
        # The SDK sends the present key along when it wants another one.
        fresh = value if value and value != old["keys"][f"{kind}Key"] else _key()
        return {**old, "keys": {**old["keys"], f"{kind}Key": fresh}}

    workspace.store.update(ENDPOINTS, name, changed)
    return Response(status_code=200)


def token(request: Request) -> Response:
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    if find(workspace, name)["properties"]["authMode"] != "AMLToken":
        raise BadRequest(f"The endpoint '{name}' does not use Azure ML tokens.", code="BadArgument")
    now = int(workspace.clock.timestamp())
    issued, expires = workspace.tokens.issue(audience(workspace, name))
    return JSONResponse(
        {
            "accessToken": issued,
            "expiryTimeUtc": expires,
            "refreshAfterTimeUtc": int(now + (expires - now) * _TOKEN_REFRESH),
            "tokenType": "Bearer",
        }
    )


def audience(workspace: Workspace, name: str) -> str:
    """Whom an endpoint's own tokens are for: that endpoint, and no other."""
    return f"{workspace.settings.base_url}{INFERENCE}/{name.lower()}"


def _create(request: Request, workspace: Workspace, name: str, given: dict[str, Any]) -> Response:
    if workspace.store.get(FOREIGN_ENDPOINTS, name) is not None:
        raise Conflict(
            f"An online endpoint named '{name}' already exists in region '{workspace.settings.location}'. "
            "Endpoint names are unique within a region: choose another name.",
            code="Conflict",
            inner=("EndpointAlreadyExists",),
        )
    document: Document = {
        "name": name,
        "kind": "Managed",
        **envelope(request, {}),
        "properties": _endpoint(workspace, name, given, {}),
        "keys": _initial_keys(given),
    }
    workspace.store.create(ENDPOINTS, name, document)
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.CREATE_ENDPOINT)
    document = noted(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _resource(workspace, document, "Creating"), 201)


def _endpoint(workspace: Workspace, name: str, given: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """The endpoint's properties; raises BadRequest for what is not allowed."""
    mode = _AUTH_MODES.get(str(given.get("authMode", "")).casefold())
    if mode is None:
        raise BadRequest(f"authMode must be one of {', '.join(_AUTH_MODES.values())}.", target="authMode")
    deployed = {full.partition("/")[2] for full, _ in workspace.store.list(DEPLOYMENTS, f"{name}/")}
    traffic = _shares(given, "traffic", old, deployed)
    if sum(traffic.values()) not in (0, 100):
        raise BadRequest(
            f"The traffic of all deployments must sum to 0 or 100, not {sum(traffic.values())}.",
            target="traffic",
        )
    mirrored = _shares(given, "mirrorTraffic", old, deployed)
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
        "provisioningState": old.get("provisioningState", "Creating"),
    }


def _shares(given: dict[str, Any], which: str, old: dict[str, Any], deployed: set[str]) -> dict[str, int]:
    """Per cent by deployment, under the deployments' own spelling."""
    value = given.get(which)
    if value is None:
        value = old.get(which, {})
    if not isinstance(value, dict):
        raise BadRequest(f"{which} must be an object of percentages.", target=which)
    spelling = {name.casefold(): name for name in deployed}
    shares: dict[str, int] = {}
    for name, share in value.items():
        if isinstance(share, bool) or not isinstance(share, int) or not 0 <= share <= 100:
            raise BadRequest(f"{which} of '{name}' must be a whole number from 0 to 100.", target=which)
        if name.casefold() not in spelling:
            raise BadRequest(
                f"{which} names '{name}', which is no deployment of this endpoint.", target=which
            )
        shares[spelling[name.casefold()]] = share
    return shares


def _initial_keys(given: dict[str, Any]) -> dict[str, str]:
    keys = record(given, "keys") or {}
    return {which: text(keys, which) or _key() for which in ("primaryKey", "secondaryKey")}


def _key() -> str:
    return secrets.token_urlsafe(32)


def _resource(workspace: Workspace, document: Document, state: str | None = None) -> dict[str, Any]:
    """The endpoint as clients see it; `state` is the one it had when the operation began."""
    shown = dict(document["properties"])
    if state is not None:
        shown["provisioningState"] = state
    ready = shown["provisioningState"] != "Creating"
    scoring = f"{workspace.settings.base_url}{INFERENCE}/{document['name']}"
    shown["scoringUri"] = f"{scoring}/score" if ready else None
    shown["swaggerUri"] = f"{scoring}/swagger.json" if ready else None
    return resource(
        f"{workspace.settings.workspace_arm_id}/onlineEndpoints/{document['name']}",
        "workspaces/onlineEndpoints",
        shown,
        **{name: document[name] for name in ENVELOPE if name in document},
    )


routes = [
    route(_PATH, GET=list_all),
    route(_PATH + "/{endpoint}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
    route(_PATH + "/{endpoint}/listKeys", POST=list_keys),
    route(_PATH + "/{endpoint}/regenerateKeys", POST=regenerate_keys),
    route(_PATH + "/{endpoint}/token", POST=token),
]
