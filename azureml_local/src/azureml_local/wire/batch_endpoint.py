"""Batch endpoints: addresses at which deployments are asked for jobs, by callers with an Entra token.

Recorded in 2023: a first PUT answers `Creating` without an address and with an identity, the operation says
`Updating` until it ends, `authMode` is AADToken whatever its case was, `defaults.deploymentName` stays null
until somebody sets it. Assumed: the answer to a change, that a default must be a deployment that exists, and
that it is null again once that one is deleted.
"""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.state import transitions
from azureml_local.state.batch_documents import BatchEndpointDocument, BatchEndpointProperties
from azureml_local.state.document import Json
from azureml_local.state.documents import BATCH_DEPLOYMENTS, BATCH_ENDPOINTS, BATCH_JOBS
from azureml_local.state.endpoint_documents import Envelope
from azureml_local.wire.arm import WORKSPACE, named, properties, resource, route, workspace_of
from azureml_local.wire.endpoint import beside, check_idle, envelope, with_principal
from azureml_local.wire.endpoint_request import check_name
from azureml_local.wire.fields import record, refused, text, texts
from azureml_local.wire.operation import accepted

PATH = WORKSPACE + "/batchEndpoints"
# Where Azure's front end answers beside Resource Manager; wire/app.py takes it off.
_FRONT_END = "/mferp/managementfrontend"
_AUTH_MODE = "AADToken"


def find(workspace: Workspace, name: str) -> BatchEndpointDocument:
    """The stored endpoint; raises NotFound."""
    document = workspace.store.get(BATCH_ENDPOINTS, name)
    if document is None:
        raise NotFound(
            f"The batch endpoint '{name}' was not found in workspace '{workspace.settings.workspace}'.",
            code="ResourceNotFound",
        )
    return document


def get(request: Request) -> Response:
    """One endpoint."""
    workspace = workspace_of(request)
    return JSONResponse(_resource(workspace, find(workspace, request.path_params["endpoint"])))


def list_all(request: Request) -> Response:
    """All endpoints."""
    workspace = workspace_of(request)
    return named(request, (BATCH_ENDPOINTS, lambda _, document: _resource(workspace, document)))


def put(request: Request) -> Response:
    """Create an endpoint, or change its default deployment, tags and description."""
    workspace, name, given = workspace_of(request), request.path_params["endpoint"], properties(request)
    check_name(name, "endpoint")
    existing = workspace.store.get(BATCH_ENDPOINTS, name)
    if existing is not None:
        check_idle(existing, "batch endpoint")
    around = envelope(request, existing)
    document: BatchEndpointDocument = {
        "name": existing["name"] if existing else name,
        **(around if existing else _identified(workspace, around)),
        "properties": _settings(workspace, name, given, existing),
    }
    api = request.query_params.get("api-version", "")
    document["properties"]["properties"].setdefault("BatchEndpointCreationApiVersion", api)
    workspace.store.put(BATCH_ENDPOINTS, name, document)
    transition = transitions.UPDATE_BATCH_ENDPOINT if existing else transitions.CREATE_BATCH_ENDPOINT
    begun = workspace.operations.begin(BATCH_ENDPOINTS, name, transition)
    return accepted(request, begun, _resource(workspace, document, transition.during), 201)


def patch(request: Request) -> Response:
    """Change tags and identity."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    check_idle(find(workspace, name), "batch endpoint")
    changed = workspace.store.update(
        BATCH_ENDPOINTS, name, lambda old: cast(BatchEndpointDocument, {**old, **envelope(request, old)})
    )
    transition = transitions.UPDATE_BATCH_ENDPOINT
    begun = workspace.operations.begin(BATCH_ENDPOINTS, name, transition)
    return accepted(request, begun, _resource(workspace, changed, transition.during), 202)


def delete(request: Request) -> Response:
    """Delete the endpoint and all its deployments; its jobs stay, as documented in how-to-mlflow-batch."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    if workspace.store.get(BATCH_ENDPOINTS, name) is None:
        return Response(status_code=204)
    for full, _ in workspace.store.list(BATCH_DEPLOYMENTS, f"{name}/"):
        workspace.store.delete(BATCH_DEPLOYMENTS, full)
    for full, _ in workspace.store.list(BATCH_JOBS, f"{name}/"):
        workspace.store.delete(BATCH_JOBS, full)
    begun = workspace.operations.begin(BATCH_ENDPOINTS, name, transitions.DELETE_BATCH_ENDPOINT)
    return accepted(request, begun, None, 202)


def list_keys(request: Request) -> Response:
    """No keys: callers come with a token (documented: how-to-authenticate-batch-endpoint)."""
    find(workspace_of(request), request.path_params["endpoint"])
    return JSONResponse({"primaryKey": None, "secondaryKey": None})


def forget_default(workspace: Workspace, name: str, deployment: str) -> None:
    """Let the endpoint have no default, if that deployment was it."""

    def without(old: BatchEndpointDocument) -> BatchEndpointDocument:
        default = old["properties"]["defaults"]["deploymentName"]
        if default is not None and default.casefold() == deployment.casefold():
            old["properties"]["defaults"] = {"deploymentName": None}
        return old

    workspace.store.update(BATCH_ENDPOINTS, name, without)


def front_end(workspace: Workspace, path: str) -> str:
    """The address of a path of Resource Manager's at Azure's front end, which answers beside it."""
    return f"{workspace.settings.base_url}{_FRONT_END}{path}"


def _identified(workspace: Workspace, around: Envelope) -> Envelope:
    """The envelope of a new endpoint, to which the service gives an identity unasked (recorded)."""
    return with_principal(workspace, {"identity": {"type": "SystemAssigned"}, **around})


def _settings(
    workspace: Workspace, name: str, given: Json, existing: BatchEndpointDocument | None
) -> BatchEndpointProperties:
    """The properties of a request, checked; raises BadRequest."""
    if (text(given, "authMode") or "").casefold() != _AUTH_MODE.casefold():
        raise BadRequest(
            f"A batch endpoint is called with Entra tokens: its authMode must be {_AUTH_MODE}.",
            target="authMode",
        )
    before = existing["properties"] if existing else None
    return {
        "description": text(given, "description"),
        "properties": {**(before["properties"] if before else {}), **texts(given, "properties")},
        "authMode": _AUTH_MODE,
        "defaults": {"deploymentName": _default(workspace, name, given, before)},
        "provisioningState": before["provisioningState"] if before else "Creating",
    }


def _default(
    workspace: Workspace, name: str, given: Json, before: BatchEndpointProperties | None
) -> str | None:
    """The default deployment that is asked for, under its own spelling; what is left out stays."""
    asked = record(given, "defaults")
    if asked is None:
        return before["defaults"]["deploymentName"] if before else None
    wanted = text(asked, "deploymentName")
    if not wanted:
        return None
    found = workspace.store.get(BATCH_DEPLOYMENTS, f"{name}/{wanted}")
    if found is None:
        raise refused("defaults.deploymentName", f"the endpoint has no deployment '{wanted}'")
    return found["name"]


def _resource(workspace: Workspace, document: BatchEndpointDocument, state: str | None = None) -> Json:
    """The endpoint as clients see it; `state` is the one it had when the operation began.

    On Azure its address is https://NAME.REGION.inference.ml.azure.com/jobs. Here it is the one at which the
    front end takes the same requests beside Resource Manager (azure-ai-ml's 2020-09-01-dataplanepreview).
    """
    path = f"{workspace.settings.workspace_arm_id}/batchEndpoints/{document['name']}"
    shown: Json = {**document["properties"], "swaggerUri": None}
    shown["properties"] = {**shown["properties"], "azureml.onlineendpointid": path}
    shown["provisioningState"] = state or shown["provisioningState"]
    is_new = shown["provisioningState"] == "Creating"
    shown["scoringUri"] = None if is_new else front_end(workspace, f"{path}/jobs")
    return resource(path, "workspaces/batchEndpoints", shown, **beside(document))


routes = [
    route(PATH, GET=list_all),
    route(PATH + "/{endpoint}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
    route(PATH + "/{endpoint}/listKeys", POST=list_keys),
]
