"""Managed online deployments: what serves behind an endpoint."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.state import quota, sizes, transitions
from azureml_local.state.document import Json
from azureml_local.state.documents import (
    DEPLOYMENTS,
    ENDPOINTS,
    instance_type,
    instances,
    provisioning_state,
)
from azureml_local.state.endpoint_documents import DeploymentDocument, EndpointDocument
from azureml_local.wire import container_variables, deployment_request, endpoint, inferencing
from azureml_local.wire.arm import WORKSPACE, body, named, page, properties, resource, route, workspace_of
from azureml_local.wire.endpoint_request import check_name
from azureml_local.wire.operation import accepted

_PATH = WORKSPACE + "/onlineEndpoints/{endpoint}/deployments"
_CONTAINERS = ("InferenceServer", "StorageInitializer")
# A change of these needs a new server; the rest is taken over by the one that runs.
_RUNS = (
    "model",
    "codeConfiguration",
    "environmentId",
    "environmentVariables",
    "instanceType",
    "modelMountPath",
)


def get(request: Request) -> Response:
    """One deployment."""
    workspace = workspace_of(request)
    return JSONResponse(_resource(workspace, _find(request)))


def list_all(request: Request) -> Response:
    """The deployments of an endpoint."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    endpoint.find(workspace, name)
    return named(request, (DEPLOYMENTS, lambda _, each: _resource(workspace, each)), prefix=f"{name}/")


def put(request: Request) -> Response:
    """Create a deployment, or update it in place: the old server answers until the new one is ready."""
    workspace = workspace_of(request)
    check_name(request.path_params["deployment"], "deployment")
    parent = endpoint.find(workspace, request.path_params["endpoint"])
    if endpoint.is_busy(parent):
        raise inferencing.endpoint_busy(parent["name"], provisioning_state(parent))
    wanted, name = deployment_request.settings(properties(request)), _name(request)
    service = container_variables.added(workspace, wanted["model"], wanted["codeConfiguration"])
    wanted["environmentVariables"] = container_variables.own(wanted["environmentVariables"], service)
    existing = workspace.store.get(DEPLOYMENTS, name)
    if existing is not None:
        endpoint.check_idle(existing, "deployment")
    before = instances(existing) if existing else 1
    count = deployment_request.capacity(body(request).get("sku"), default=before)
    _check_quota(workspace, name, wanted["instanceType"], count)
    document: DeploymentDocument = {
        "name": existing["name"] if existing else request.path_params["deployment"],
        "endpoint": parent["name"],
        "kind": "Managed",
        **endpoint.envelope(request, existing),
        "sku": {"name": "Default", "tier": "Standard", "capacity": count},
        "properties": {**wanted, "provisioningState": "Creating" if existing is None else "Updating"},
        "serving": existing.get("serving") if existing else None,
        "starting": existing.get("starting") if existing else None,
    }
    workspace.store.put(DEPLOYMENTS, name, document)
    return _begin(request, name, existing, document)


def patch(request: Request) -> Response:
    """Change tags, or the number of instances."""
    workspace, document = workspace_of(request), _find(request)
    endpoint.check_idle(document, "deployment")
    count = deployment_request.capacity(body(request).get("sku"), default=instances(document))
    _check_quota(workspace, _name(request), instance_type(document), count)
    workspace.store.update(
        DEPLOYMENTS,
        _name(request),
        lambda old: {**old, **endpoint.envelope(request, old), "sku": {**old["sku"], "capacity": count}},
    )
    workspace.deployments.update(_name(request))
    scaled = count != instances(document)
    transition = transitions.SCALE_DEPLOYMENT if scaled else transitions.UPDATE_DEPLOYMENT
    operation = workspace.operations.begin(DEPLOYMENTS, _name(request), transition)
    changed = endpoint.note_operation(request, DEPLOYMENTS, _name(request), operation)
    return accepted(request, operation, _resource(workspace, changed, transition.during), 202)


def delete(request: Request) -> Response:
    """Delete the deployment whatever it is doing; its share of the traffic goes with it."""
    workspace, name = workspace_of(request), _name(request)
    if workspace.store.get(DEPLOYMENTS, name) is None:
        return Response(status_code=204)
    operation = workspace.operations.begin(
        DEPLOYMENTS, name, transitions.DELETE_DEPLOYMENT, work=lambda: _stop(workspace, name)
    )
    return accepted(request, operation, None, 202)


def get_logs(request: Request) -> Response:
    """The end of a container's log."""
    workspace, given = workspace_of(request), body(request)
    _find(request)
    part, tail = given.get("containerType"), given.get("tail")
    if part is not None and part not in _CONTAINERS:
        raise BadRequest(f"containerType must be one of {', '.join(_CONTAINERS)}.", target="containerType")
    if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 0):
        raise BadRequest("tail must be a number of lines.", target="tail")
    return JSONResponse({"content": workspace.deployments.logs(_name(request), part, tail)})


def skus(request: Request) -> Response:
    """How many instances the deployment may have."""
    document = _find(request)
    sku = {
        "resourceType": "Microsoft.MachineLearning.Services/endpoints/deployments",
        "sku": {"name": "default", "tier": "Standard"},
        "capacity": {
            "minimum": 1,
            "maximum": 50,
            "default": instances(document),
            "scaleType": "Automatic",
        },
    }
    return page(request, [sku])


def _name(request: Request) -> str:
    return f"{request.path_params['endpoint']}/{request.path_params['deployment']}"


def _find(request: Request) -> DeploymentDocument:
    workspace, name = workspace_of(request), _name(request)
    endpoint.find(workspace, request.path_params["endpoint"])
    document = workspace.store.get(DEPLOYMENTS, name)
    if document is None:
        raise NotFound(f"The deployment '{name}' was not found.", code="ResourceNotFound")
    return document


def _check_quota(workspace: Workspace, name: str, vm_size: str, count: int) -> None:
    """Raise BadRequest unless the subscription has the cores."""
    shortage = quota.deployment_shortage(workspace.store, name, vm_size, count)
    if shortage is not None:
        size = sizes.lookup(vm_size).name
        raise inferencing.no_quota(workspace.settings.subscription_id, size, shortage)


def _begin(
    request: Request, name: str, existing: DeploymentDocument | None, document: DeploymentDocument
) -> Response:
    """Start what the change needs: a server, more of the same, or nothing but taking it over."""
    workspace = workspace_of(request)
    begin = workspace.operations.begin
    if existing is None or _needs_server(existing, document):
        transition = transitions.CREATE_DEPLOYMENT if existing is None else transitions.UPDATE_DEPLOYMENT
        operation = begin(DEPLOYMENTS, name, transition, work=lambda: workspace.deployments.deploy(name))
    else:
        scaled = instances(existing) != instances(document)
        transition = transitions.SCALE_DEPLOYMENT if scaled else transitions.UPDATE_DEPLOYMENT
        workspace.deployments.update(name)
        operation = begin(DEPLOYMENTS, name, transition)
    noted = endpoint.note_operation(request, DEPLOYMENTS, name, operation)
    # Recorded in 2025 for a first PUT ("Updating" in 2022), and for one of an endpoint that exists; assumed
    # for one of a deployment that exists.
    return accepted(request, operation, _resource(workspace, noted, "Creating"), 201)


def _needs_server(existing: DeploymentDocument, document: DeploymentDocument) -> bool:
    if provisioning_state(existing) != "Succeeded":
        return True
    old, new = existing["properties"], document["properties"]
    return any(old.get(name) != new.get(name) for name in _RUNS)


def _stop(workspace: Workspace, name: str) -> None:
    workspace.deployments.stop(name)
    parent, _, deployment = name.partition("/")

    def without(document: EndpointDocument) -> EndpointDocument:
        given = document["properties"]
        traffic = {name: share for name, share in given["traffic"].items() if name != deployment}
        mirrored = {name: share for name, share in given["mirrorTraffic"].items() if name != deployment}
        return {**document, "properties": {**given, "traffic": traffic, "mirrorTraffic": mirrored}}

    if workspace.store.get(ENDPOINTS, parent) is not None:
        workspace.store.update(ENDPOINTS, parent, without)


def _resource(workspace: Workspace, document: DeploymentDocument, state: str | None = None) -> Json:
    """The deployment as clients see it; `state` is the one it had when the operation began."""
    shown: Json = {**document["properties"]}
    if state is not None:
        shown["provisioningState"] = state
    if shown["provisioningState"] == "Succeeded":
        service = container_variables.added(workspace, shown["model"], shown["codeConfiguration"])
        shown["environmentVariables"] = {**shown["environmentVariables"], **service}
    return resource(
        f"{workspace.settings.workspace_arm_id}/onlineEndpoints/{document['endpoint']}/deployments/{document['name']}",
        "workspaces/onlineEndpoints/deployments",
        shown,
        **endpoint.beside(document),
    )


routes = [
    route(_PATH, GET=list_all),
    route(_PATH + "/{deployment}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
    route(_PATH + "/{deployment}/getLogs", POST=get_logs),
    route(_PATH + "/{deployment}/skus", GET=skus),
]
