"""Managed online endpoints: the addresses that deployments share, their keys and their traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import INFERENCE
from azureml_local.state import transitions
from azureml_local.state.clock import iso
from azureml_local.state.document import Json, Kind, SystemData
from azureml_local.state.documents import (
    DEPLOYMENTS,
    ENDPOINTS,
    HELD_NAMES,
    Provisioned,
    auth_mode,
    provisioning_state,
)
from azureml_local.state.endpoint_documents import (
    DeploymentDocument,
    EndpointDocument,
    Envelope,
    HeldNameDocument,
)
from azureml_local.state.faults import HeldName
from azureml_local.wire import endpoint_request, inferencing
from azureml_local.wire.arm import (
    WORKSPACE,
    body,
    first_of,
    named,
    properties,
    resource,
    route,
    workspace_of,
)
from azureml_local.wire.fields import identity, texts
from azureml_local.wire.operation import accepted, address

# What stands beside the properties, where it is known.
_ENVELOPE = ("tags", "location", "kind", "identity", "sku", "systemData")

_PATH = WORKSPACE + "/onlineEndpoints"
_TOKEN_REFRESH = 0.5  # of a token's life: when its holder should ask for the next
_MOST = 300  # endpoints of a subscription (as users printed it)
_BUSY = ("Creating", "Updating", "Deleting", "Scaling")


Deployed = TypeVar("Deployed", EndpointDocument, DeploymentDocument)


def find(workspace: Workspace, name: str) -> EndpointDocument:
    """The stored endpoint; raises NotFound."""
    document = workspace.store.get(ENDPOINTS, name)
    if document is None:
        raise NotFound(
            f"The online endpoint '{name}' was not found in workspace '{workspace.settings.workspace}'.",
            code="ResourceNotFound",
        )
    return document


def is_busy(document: Provisioned) -> bool:
    """Whether an earlier operation on the resource has not ended."""
    return provisioning_state(document) in _BUSY


def check_idle(document: Provisioned, what: str) -> None:
    """Raise Conflict while an earlier operation on the resource has not ended.

    Assumed: what this service says is not known. 409 is what Resource Manager documents for its providers.
    """
    if is_busy(document):
        raise Conflict(
            f"Another operation on the {what} '{document['name']}' is in progress "
            f"({provisioning_state(document)}): wait."
        )


def envelope(request: Request, old: Envelope | None) -> Envelope:
    """What a request sets beside the properties of an endpoint or deployment; what it leaves out stays."""
    given, workspace = body(request), workspace_of(request)
    now = iso(workspace.clock.now())
    made: SystemData = old["systemData"] if old else {"createdAt": now, "createdBy": "local user"}
    kept = old["tags"] if old else {}
    found: Envelope = {
        "tags": texts(given, "tags") if given.get("tags") is not None else kept,
        "location": workspace.settings.location,
        "systemData": {**made, "lastModifiedAt": now},
    }
    before = (old.get("identity") if old else None) or {}
    if known := identity(given) or before:
        is_same = known["type"] == before.get("type")
        found["identity"] = {**before, **known} if is_same else known
    return found


def note_operation(request: Request, kind: Kind[Deployed], name: str, operation_id: str) -> Deployed:
    """Keep the operation's address among the resource's properties, as the service does."""
    noted = {"AzureAsyncOperationUri": address(request, operation_id)}

    def change(old: Deployed) -> Deployed:
        kept = {**old["properties"]["properties"], **noted}
        old["properties"]["properties"] = kept
        return old

    return workspace_of(request).store.update(kind, name, change)


def beside(document: Envelope) -> Json:
    """What is shown of an endpoint or deployment beside its properties, where it is known."""
    return {name: value for name, value in document.items() if name in _ENVELOPE}


def with_principal(workspace: Workspace, given: Envelope) -> Envelope:
    """The envelope with the principal that the service makes for a system-assigned identity (recorded)."""
    known = given.get("identity")
    if known is None or "systemassigned" not in str(known["type"]).casefold():
        return given
    principal = {"principalId": str(uuid4()), "tenantId": workspace.settings.tenant_id}
    return {**given, "identity": {**known, **principal}}


def get(request: Request) -> Response:
    """One endpoint."""
    workspace = workspace_of(request)
    return JSONResponse(_resource(workspace, find(workspace, request.path_params["endpoint"])))


def list_all(request: Request) -> Response:
    """All endpoints."""
    workspace = workspace_of(request)
    return named(request, (ENDPOINTS, lambda _, document: _resource(workspace, document)))


def put(request: Request) -> Response:
    """Create an endpoint, or change its traffic, tags and description."""
    workspace, name, given = workspace_of(request), request.path_params["endpoint"], properties(request)
    endpoint_request.check_name(name, "endpoint")
    existing = workspace.store.get(ENDPOINTS, name)
    if existing is None:
        return _create(request, workspace, name, given)
    check_idle(existing, "endpoint")
    old = existing["properties"]
    wanted = endpoint_request.settings(given, old, _deployed(workspace, existing["name"]))
    if wanted["authMode"] != old["authMode"]:
        raise BadRequest("The authMode of an endpoint cannot be changed: create another.", target="authMode")
    _change(request, name, lambda old: {**old, "properties": wanted})
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.UPDATE_ENDPOINT)
    document = note_operation(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _changed(workspace, document), 201)


def patch(request: Request) -> Response:
    """Change tags and identity."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    check_idle(find(workspace, name), "endpoint")
    _change(request, name, lambda old: old)
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.UPDATE_ENDPOINT)
    document = note_operation(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _resource(workspace, document, "Updating"), 202)


def delete(request: Request) -> Response:
    """Delete the endpoint and all its deployments, whatever they are doing."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    if workspace.store.get(ENDPOINTS, name) is None:
        return Response(status_code=204)
    _hold_name(workspace, name)
    operation = workspace.operations.begin(
        ENDPOINTS, name, transitions.DELETE_ENDPOINT, work=lambda: workspace.deployments.stop_all(name)
    )
    return accepted(request, operation, None, 202)


def list_keys(request: Request) -> Response:
    """The endpoint's keys, null where it uses none."""
    workspace = workspace_of(request)
    document = find(workspace, request.path_params["endpoint"])
    none = {"primaryKey": None, "secondaryKey": None}
    return JSONResponse(document["keys"] if auth_mode(document) == "Key" else none)


def regenerate_keys(request: Request) -> Response:
    """Replace one of the two keys."""
    workspace, name, given = workspace_of(request), request.path_params["endpoint"], body(request)
    if auth_mode(find(workspace, name)) != "Key":
        raise BadRequest(f"The endpoint '{name}' does not use keys for authentication.", code="BadArgument")
    kind = str(given.get("keyType", "")).casefold()
    if kind not in ("primary", "secondary"):
        raise BadRequest("keyType must be Primary or Secondary.", target="keyType")
    value = given.get("keyValue")
    if value is not None and not isinstance(value, str):
        raise BadRequest("keyValue must be a string.", target="keyValue")

    def changed(old: EndpointDocument) -> EndpointDocument:
        keys = old["keys"]
        present = keys["primaryKey"] if kind == "primary" else keys["secondaryKey"]
        # The SDK sends the present key along when it wants another one.
        fresh = value if value and value != present else endpoint_request.new_key()
        if kind == "primary":
            return {**old, "keys": {**keys, "primaryKey": fresh}}
        return {**old, "keys": {**keys, "secondaryKey": fresh}}

    workspace.store.update(ENDPOINTS, name, changed)
    return Response(status_code=200)


def token(request: Request) -> Response:
    """A token for an endpoint of authMode AMLToken."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    if auth_mode(find(workspace, name)) != "AMLToken":
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


def _create(request: Request, workspace: Workspace, name: str, given: Json) -> Response:
    _check_free(request, name)
    if len(workspace.store.list(ENDPOINTS)) >= _MOST:
        raise inferencing.too_many_endpoints(workspace.settings.subscription_id, _MOST)
    document: EndpointDocument = {
        "name": name,
        "kind": "Managed",
        **with_principal(workspace, envelope(request, None)),
        "properties": endpoint_request.settings(given, None, _deployed(workspace, name)),
        "keys": endpoint_request.initial_keys(given),
    }
    workspace.store.create(ENDPOINTS, name, document)
    operation = workspace.operations.begin(ENDPOINTS, name, transitions.CREATE_ENDPOINT)
    document = note_operation(request, ENDPOINTS, name, operation)
    return accepted(request, operation, _resource(workspace, document, "Creating"), 201)


def _check_free(request: Request, name: str) -> None:
    """Raise as the service does while the name is somebody else's, or not free again."""
    workspace = workspace_of(request)
    if neighbours.of_endpoint(first_of(request), name) not in (None, workspace):
        raise inferencing.name_taken()
    held = workspace.store.get(HELD_NAMES, name)
    if held is None or (held["until"] is not None and held["until"] <= workspace.clock.timestamp()):
        return
    raise inferencing.name_not_free() if held["missing"] else inferencing.name_taken()


def _hold_name(workspace: Workspace, name: str) -> None:
    """Keep the name of a deleted endpoint from being used again, where a rule says so."""
    fault = workspace.faults.at("FREE", f"/onlineEndpoints/{name}", HeldName)
    if fault is not None:
        until = workspace.clock.timestamp() + fault.seconds
        held: HeldNameDocument = {"until": until, "missing": fault.missing}
        workspace.store.put(HELD_NAMES, name, held)


def _change(request: Request, name: str, change: Callable[[EndpointDocument], EndpointDocument]) -> None:
    """Change the endpoint, and what the request says beside its properties."""
    workspace_of(request).store.update(ENDPOINTS, name, lambda old: {**change(old), **envelope(request, old)})


def _deployed(workspace: Workspace, name: str) -> set[str]:
    """The names of the endpoint's deployments."""
    return {full.partition("/")[2] for full, _ in workspace.store.list(DEPLOYMENTS, f"{name}/")}


def _resource(workspace: Workspace, document: EndpointDocument, state: str | None = None) -> Json:
    """The endpoint as clients see it; `state` is the one it had when the operation began.

    It has no address while an operation goes on. Seen of the answers to a creation and to a change of the
    traffic; that a GET in between has none either is assumed.
    """
    path = f"{workspace.settings.workspace_arm_id}/onlineEndpoints/{document['name']}"
    shown: Json = {**document["properties"]}
    shown["properties"] = {"azureml.onlineendpointid": path.lower(), **shown["properties"]}
    if state is not None:
        shown["provisioningState"] = state
    ready = shown["provisioningState"] not in ("Creating", "Updating")
    scoring = f"{workspace.settings.base_url}{INFERENCE}/{document['name']}"
    shown["scoringUri"] = f"{scoring}/score" if ready else None
    shown["swaggerUri"] = f"{scoring}/swagger.json" if ready else None
    return resource(path, "workspaces/onlineEndpoints", shown, **beside(document))


def _changed(workspace: Workspace, document: EndpointDocument) -> Json:
    """The answer to a PUT of an endpoint that exists.

    Recorded in 2025: it looks like a creation, without an address, place, identity or creator.
    """
    shown = _resource(workspace, document, "Creating")
    del shown["properties"]["properties"]["azureml.onlineendpointid"]
    shown["systemData"] = {"lastModifiedAt": shown["systemData"]["lastModifiedAt"]}
    return {name: value for name, value in shown.items() if name not in ("location", "identity")}


routes = [
    route(_PATH, GET=list_all),
    route(_PATH + "/{endpoint}", at_once=get, PUT=put, PATCH=patch, DELETE=delete),
    route(_PATH + "/{endpoint}/listKeys", POST=list_keys),
    route(_PATH + "/{endpoint}/regenerateKeys", POST=regenerate_keys),
    route(_PATH + "/{endpoint}/token", POST=token),
]
