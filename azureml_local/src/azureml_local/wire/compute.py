"""Compute clusters: create, scale, delete, within the subscription's quota."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.fields import identity, text, texts
from azureml_local.state import quota, sizes, transitions
from azureml_local.state.clock import iso
from azureml_local.state.store import Document
from azureml_local.wire.arm import WORKSPACE, body, page, properties, resource, route, workspace_of
from azureml_local.wire.operation import accepted

_KIND = "computes"
# From Azure's naming rules for compute targets.
_NAME = re.compile(r"[a-zA-Z](?:[a-zA-Z0-9-]{0,30}[a-zA-Z0-9])$")
_DURATION = re.compile(r"P(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+(?:\.\d+)?S)?)?$")


def get(request: Request) -> Response:
    workspace, name = workspace_of(request), request.path_params["name"]
    document = workspace.store.get(_KIND, name)
    if document is None:
        return Response(status_code=404)  # as the service: no body
    return JSONResponse(_resource(workspace, document))


def list_all(request: Request) -> Response:
    workspace = workspace_of(request)
    wanted = request.query_params.get("computeType", "").casefold()
    found = [document for _, document in workspace.store.list(_KIND)]
    return page(
        request,
        [_resource(workspace, d) for d in found if wanted in ("", d["properties"]["computeType"].casefold())],
    )


def put(request: Request) -> Response:
    """Create a cluster, or change one's scale settings and tags."""
    workspace, name, given = workspace_of(request), request.path_params["name"], properties(request)
    existing = workspace.store.get(_KIND, name)
    cluster = _cluster(given)
    if existing is None and not _NAME.match(name):
        raise BadRequest(
            f"The compute name {name!r} is not valid: 2 to 32 letters, digits and hyphens, a letter first.",
            code="InvalidComputeName",
        )
    if existing is not None:
        _check_unchanged(existing, cluster)
    quota.check_cluster(workspace.store, name, cluster)
    now = iso(workspace.clock.now())
    document: Document = {
        "name": name if existing is None else existing["name"],
        "tags": texts(body(request), "tags"),
        "location": workspace.settings.location,
        "identity": identity(body(request)),
        "properties": {
            "computeType": "AmlCompute",
            "description": text(given, "description"),
            "disableLocalAuth": bool(given.get("disableLocalAuth", False)),
            "createdOn": now if existing is None else existing["properties"]["createdOn"],
            "modifiedOn": now,
            "provisioningState": "Creating" if existing is None else "Updating",
            "properties": cluster,
        },
    }
    workspace.store.put(_KIND, name, document)
    answer = _resource(workspace, document)
    transition = transitions.CREATE_COMPUTE if existing is None else transitions.UPDATE_COMPUTE
    operation = workspace.operations.begin(_KIND, name, transition)
    return accepted(request, operation, answer, 201 if existing is None else 200)


def patch(request: Request) -> Response:
    """Change the scale settings alone."""
    workspace, name = workspace_of(request), request.path_params["name"]
    change = properties(request).get("properties")
    if not isinstance(change, dict) or not isinstance(change.get("scaleSettings"), dict):
        raise BadRequest("A change of a compute needs properties.properties.scaleSettings.")
    existing = _existing(workspace, name)
    cluster = existing["properties"]["properties"]
    changed = {**cluster, "scaleSettings": _scale({**cluster["scaleSettings"], **change["scaleSettings"]})}
    quota.check_cluster(workspace.store, name, changed)

    def apply(document: Document) -> Document:
        now = iso(workspace.clock.now())
        return {
            **document,
            "properties": {**document["properties"], "modifiedOn": now, "properties": changed},
        }

    answer = _resource(workspace, workspace.store.update(_KIND, name, apply))
    operation = workspace.operations.begin(_KIND, name, transitions.UPDATE_COMPUTE)
    return accepted(request, operation, answer, 200)


def delete(request: Request) -> Response:
    workspace, name = workspace_of(request), request.path_params["name"]
    if request.query_params.get("underlyingResourceAction") not in ("Delete", "Detach"):
        raise BadRequest(
            "The query parameter underlyingResourceAction must be Delete or Detach.",
            target="underlyingResourceAction",
        )
    _existing(workspace, name)
    operation = workspace.operations.begin(_KIND, name, transitions.DELETE_COMPUTE)
    return accepted(request, operation, None, 202)


def nodes(request: Request) -> Response:
    """The nodes that run something now."""
    workspace, name = workspace_of(request), request.path_params["name"]
    _existing(workspace, name)
    running = [
        row for row in workspace.ledger.rows() if row.kind == "node" and row.running and row.name == name
    ]
    return JSONResponse(
        {"nodes": [{"nodeId": row.id, "nodeState": "running", "runId": row.owner} for row in running]}
    )


def _existing(workspace: Workspace, name: str) -> Document:
    document = workspace.store.get(_KIND, name)
    if document is None:
        raise NotFound(f"The compute {name} does not exist.", code="ComputeNotFound")
    return document


def _cluster(given: dict[str, Any]) -> dict[str, Any]:
    """The checked settings of an AmlCompute."""
    if given.get("computeType") != "AmlCompute":
        raise BadRequest(
            "Only compute of type AmlCompute can be created here.",
            code="InvalidComputeType",
            target="computeType",
        )
    wanted = given.get("properties")
    if not isinstance(wanted, dict) or not isinstance(wanted.get("vmSize"), str):
        raise BadRequest("An AmlCompute needs properties.properties.vmSize.", target="vmSize")
    size = sizes.lookup(wanted["vmSize"])
    if "AmlCompute" not in size.compute_types:
        raise BadRequest(f"{size.name} cannot be used for a cluster.", code="InvalidVmSize", target="vmSize")
    priority = wanted.get("vmPriority") or "Dedicated"
    if priority not in ("Dedicated", "LowPriority"):
        raise BadRequest("vmPriority must be Dedicated or LowPriority.", target="vmPriority")
    if priority == "LowPriority" and not size.low_priority:
        raise BadRequest(f"{size.name} is not offered at low priority.", target="vmPriority")
    scale = wanted.get("scaleSettings")
    return {
        "vmSize": size.name.upper(),
        "vmPriority": priority,
        "osType": wanted.get("osType") or "Linux",
        "scaleSettings": _scale(scale if isinstance(scale, dict) else {}),
        "remoteLoginPortPublicAccess": wanted.get("remoteLoginPortPublicAccess") or "NotSpecified",
        "enableNodePublicIp": wanted.get("enableNodePublicIp", True),
        "isolatedNetwork": bool(wanted.get("isolatedNetwork", False)),
        "enableBatchPrivateLink": False,
        "subnet": wanted.get("subnet"),
        "virtualMachineImage": wanted.get("virtualMachineImage"),
    }


def _scale(given: dict[str, Any]) -> dict[str, Any]:
    least, most = given.get("minNodeCount") or 0, given.get("maxNodeCount")
    most = 1 if most is None else most
    for name, count in (("minNodeCount", least), ("maxNodeCount", most)):
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 65000:
            raise BadRequest(f"{name} must be a whole number from 0 to 65000.", target=name)
    if least > most:
        raise BadRequest("minNodeCount must not exceed maxNodeCount.", target="minNodeCount")
    idle = given.get("nodeIdleTimeBeforeScaleDown") or "PT2M"
    if not isinstance(idle, str) or not _DURATION.match(idle):
        raise BadRequest(
            "nodeIdleTimeBeforeScaleDown must be an ISO 8601 duration such as PT2M.",
            target="nodeIdleTimeBeforeScaleDown",
        )
    return {"minNodeCount": least, "maxNodeCount": most, "nodeIdleTimeBeforeScaleDown": idle}


def _check_unchanged(existing: Document, cluster: dict[str, Any]) -> None:
    kept = existing["properties"]["properties"]
    for name in ("vmSize", "vmPriority"):
        if kept[name] != cluster[name]:
            raise Conflict(
                f"The {name} of an existing compute cannot be changed from {kept[name]} to {cluster[name]}: "
                "delete it and create it anew.",
                code="ComputeNotUpdatable",
                target=name,
            )


def _resource(workspace: Workspace, document: Document) -> dict[str, Any]:
    name, given = document["name"], document["properties"]
    running = [
        row for row in workspace.ledger.rows() if row.kind == "node" and row.running and row.name == name
    ]
    least = given["properties"]["scaleSettings"]["minNodeCount"]
    current = max(least, len(running))
    states = ("preparing", "running", "idle", "unusable", "leaving", "preempted")
    counts = dict.fromkeys((f"{state}NodeCount" for state in states), 0)
    live = {
        "currentNodeCount": current,
        "targetNodeCount": current,
        "nodeStateCounts": counts
        | {"runningNodeCount": len(running), "idleNodeCount": current - len(running)},
        "allocationState": "Steady",
        "allocationStateTransitionTime": given["modifiedOn"],
        "errors": None,
        "propertyBag": {},
    }
    return resource(
        f"{workspace.settings.workspace_arm_id}/computes/{name}",
        "workspaces/computes",
        {
            **given,
            "computeLocation": document["location"],
            "resourceId": None,
            "provisioningErrors": None,
            "provisioningWarnings": {},
            "isAttachedCompute": False,
            "properties": {**given["properties"], **live},
        },
        location=document["location"],
        tags=document["tags"],
        **({"identity": document["identity"]} if document.get("identity") else {}),
    )


routes = [
    route(WORKSPACE + "/computes", GET=list_all),
    route(WORKSPACE + "/computes/{name}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
    route(WORKSPACE + "/computes/{name}/listNodes", POST=nodes),
]
