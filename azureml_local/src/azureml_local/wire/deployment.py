"""Managed online deployments: what serves behind an endpoint."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.deployment import capacity, check_name, complete
from azureml_local.execution.deployments import DEPLOYMENTS, ENDPOINTS
from azureml_local.execution.workspace import Workspace
from azureml_local.state import quota, transitions
from azureml_local.state.store import Document
from azureml_local.wire import endpoint
from azureml_local.wire.arm import WORKSPACE, body, page, properties, resource, route, workspace_of
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
    workspace = workspace_of(request)
    return JSONResponse(_resource(workspace, _find(request)))


def list_all(request: Request) -> Response:
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    endpoint.find(workspace, name)
    return page(
        request, [_resource(workspace, each) for _, each in workspace.store.list(DEPLOYMENTS, f"{name}/")]
    )


def put(request: Request) -> Response:
    """Create a deployment, or update it in place: the old server answers until the new one is ready."""
    workspace = workspace_of(request)
    check_name(request.path_params["deployment"], "deployment")
    parent = endpoint.find(workspace, request.path_params["endpoint"])
    endpoint.check_idle(parent, "endpoint")
    wanted, name = complete(properties(request)), _name(request)
    existing = workspace.store.get(DEPLOYMENTS, name)
    if existing is not None:
        endpoint.check_idle(existing, "deployment")
    old = existing or {}
    count = capacity(body(request).get("sku"), default=(old.get("sku") or {}).get("capacity", 1))
    quota.check_deployment(workspace.store, name, wanted["instanceType"], count)
    document: Document = {
        **old,
        "name": old.get("name", request.path_params["deployment"]),
        "endpoint": parent["name"],
        "kind": "Managed",
        **endpoint.envelope(request, old),
        "sku": {"name": "Default", "tier": "Standard", "capacity": count},
        "properties": {**wanted, "provisioningState": "Creating" if existing is None else "Updating"},
    }
    workspace.store.put(DEPLOYMENTS, name, document)
    return _begin(request, workspace, name, existing, document)


def patch(request: Request) -> Response:
    """Change tags, or the number of instances."""
    workspace, document = workspace_of(request), _find(request)
    endpoint.check_idle(document, "deployment")
    count = capacity(body(request).get("sku"), default=document["sku"]["capacity"])
    quota.check_deployment(workspace.store, _name(request), document["properties"]["instanceType"], count)
    workspace.store.update(
        DEPLOYMENTS,
        _name(request),
        lambda old: {**old, **endpoint.envelope(request, old), "sku": {**old["sku"], "capacity": count}},
    )
    workspace.deployments.update(_name(request))
    scaled = count != document["sku"]["capacity"]
    transition = transitions.SCALE_DEPLOYMENT if scaled else transitions.UPDATE_DEPLOYMENT
    operation = workspace.operations.begin(DEPLOYMENTS, _name(request), transition)
    changed = endpoint.noted(request, DEPLOYMENTS, _name(request), operation)
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
    workspace, given = workspace_of(request), body(request)
    _find(request)
    part, tail = given.get("containerType"), given.get("tail")
    if part is not None and part not in _CONTAINERS:
        raise BadRequest(f"containerType must be one of {', '.join(_CONTAINERS)}.", target="containerType")
    if tail is not None and (isinstance(tail, bool) or not isinstance(tail, int) or tail < 0):
        raise BadRequest("tail must be a number of lines.", target="tail")
    return JSONResponse({"content": workspace.deployments.logs(_name(request), part, tail)})


def skus(request: Request) -> Response:
    document = _find(request)
    sku = {
        "resourceType": "Microsoft.MachineLearning.Services/endpoints/deployments",
        "sku": {"name": "default", "tier": "Standard"},
        "capacity": {
            "minimum": 1,
            "maximum": 50,
            "default": document["sku"]["capacity"],
            "scaleType": "Automatic",
        },
    }
    return page(request, [sku])


def _name(request: Request) -> str:
    return f"{request.path_params['endpoint']}/{request.path_params['deployment']}"


def _find(request: Request) -> Document:
    workspace, name = workspace_of(request), _name(request)
    endpoint.find(workspace, request.path_params["endpoint"])
    document = workspace.store.get(DEPLOYMENTS, name)
    if document is None:
        raise NotFound(f"The deployment '{name}' was not found.", code="ResourceNotFound")
    return document


def _begin(
    request: Request, workspace: Workspace, name: str, existing: Document | None, document: Document
) -> Response:
    """Start what the change needs: a server, more of the same, or nothing but taking it over."""
    if existing is None or _needs_server(existing, document):
        transition = transitions.CREATE_DEPLOYMENT if existing is None else transitions.UPDATE_DEPLOYMENT
        operation = workspace.operations.begin(
            DEPLOYMENTS, name, transition, work=lambda: workspace.deployments.deploy(name)
        )
    else:
        scaled = existing["sku"]["capacity"] != document["sku"]["capacity"]
        transition = transitions.SCALE_DEPLOYMENT if scaled else transitions.UPDATE_DEPLOYMENT
        workspace.deployments.update(name)
        operation = workspace.operations.begin(DEPLOYMENTS, name, transition)
    answer = _resource(workspace, endpoint.noted(request, DEPLOYMENTS, name, operation), transition.during)
    return accepted(request, operation, answer, 201 if existing is None else 200)


def _needs_server(existing: Document, document: Document) -> bool:
    if existing["properties"]["provisioningState"] != "Succeeded":
        return True
    return any(existing["properties"][name] != document["properties"][name] for name in _RUNS)


def _stop(workspace: Workspace, name: str) -> None:
    workspace.deployments.stop(name)
    parent, _, deployment = name.partition("/")

    def without(document: Document) -> Document:
        shares = {
            which: {key: share for key, share in document["properties"][which].items() if key != deployment}
            for which in ("traffic", "mirrorTraffic")
        }
        return {**document, "properties": {**document["properties"], **shares}}

    if workspace.store.get(ENDPOINTS, parent) is not None:
        workspace.store.update(ENDPOINTS, parent, without)


def _resource(workspace: Workspace, document: Document, state: str | None = None) -> dict[str, Any]:
    """The deployment as clients see it; `state` is the one it had when the operation began."""
    shown = dict(document["properties"])
    if state is not None:
        shown["provisioningState"] = state
    return resource(
        f"{workspace.settings.workspace_arm_id}/onlineEndpoints/{document['endpoint']}/deployments/{document['name']}",
        "workspaces/onlineEndpoints/deployments",
        shown,
        **{name: document[name] for name in endpoint.ENVELOPE if name in document},
    )


routes = [
    route(_PATH, GET=list_all),
    route(_PATH + "/{deployment}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
    route(_PATH + "/{deployment}/getLogs", POST=get_logs),
    route(_PATH + "/{deployment}/skus", GET=skus),
]
