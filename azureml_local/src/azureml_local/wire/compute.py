"""Compute clusters: create, scale, delete, within the subscription's quota."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.state import quota, transitions
from azureml_local.state.clock import iso
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import (
    ALLOCATION_ERRORS,
    CLUSTERS,
    COMPUTE_INSTANCES,
    ClusterDocument,
    ClusterSettings,
    cluster_settings,
)
from azureml_local.wire import compute_identity, compute_request
from azureml_local.wire.arm import WORKSPACE, body, named, properties, resource, route, workspace_of
from azureml_local.wire.fields import text, texts
from azureml_local.wire.operation import accepted


def get(request: Request) -> Response:
    """One cluster."""
    workspace, name = workspace_of(request), request.path_params["name"]
    document = workspace.store.get(CLUSTERS, name)
    if document is not None:
        return JSONResponse(_resource(workspace, document))
    instance = workspace.store.get(COMPUTE_INSTANCES, name)
    if instance is None:
        return Response(status_code=404)  # as the service: no body
    return JSONResponse(_instance(workspace, name, instance))


def list_all(request: Request) -> Response:
    """All computes, or those of one type."""
    workspace = workspace_of(request)
    wanted = request.query_params.get("computeType", "").casefold()
    lists: list[tuple[Kind[Any], Callable[[str, Any], Any]]] = []
    if wanted in ("", "amlcompute"):
        lists.append((CLUSTERS, lambda _, document: _resource(workspace, document)))
    if wanted in ("", "computeinstance"):
        lists.append((COMPUTE_INSTANCES, lambda name, document: _instance(workspace, name, document)))
    return named(request, *lists)


def put(request: Request) -> Response:
    """Create a cluster, or change one's scale settings and tags."""
    workspace, name, given = workspace_of(request), request.path_params["name"], properties(request)
    if workspace.store.get(COMPUTE_INSTANCES, name) is not None:
        raise Conflict(f"The compute {name} is a compute instance, and cannot become another type.")
    existing = workspace.store.get(CLUSTERS, name)
    cluster = compute_request.settings(given)
    if existing is None:
        compute_request.check_name(name)
    else:
        _check_unchanged(existing, cluster)
    quota.check_cluster(workspace.store, name, cluster)
    now = iso(workspace.clock.now())
    document: ClusterDocument = {
        "name": name if existing is None else existing["name"],
        "tags": texts(body(request), "tags"),
        "location": _location(workspace, existing, body(request)),
        "identity": compute_identity.given(request, existing),
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
    workspace.store.put(CLUSTERS, name, document)
    answer = _resource(workspace, document)
    transition = transitions.CREATE_COMPUTE if existing is None else transitions.UPDATE_COMPUTE
    operation = workspace.operations.begin(CLUSTERS, name, transition)
    workspace.jobs.clusters.scale(name)
    return accepted(request, operation, answer, 201 if existing is None else 200)


def _location(workspace: Workspace, existing: ClusterDocument | None, given: Json) -> str:
    """Where the cluster is: as asked for when it was made, else where the workspace is."""
    if existing is not None:
        return existing["location"]
    return text(given, "location") or workspace.settings.location


def patch(request: Request) -> Response:
    """Change the scale settings alone."""
    workspace, name = workspace_of(request), request.path_params["name"]
    change = properties(request).get("properties")
    if not isinstance(change, dict) or not isinstance(change.get("scaleSettings"), dict):
        raise BadRequest("A change of a compute needs properties.properties.scaleSettings.")
    existing = _existing(workspace, name)
    cluster = cluster_settings(existing)
    scale = compute_request.scale({**cluster["scaleSettings"], **change["scaleSettings"]})
    changed: ClusterSettings = {**cluster, "scaleSettings": scale}
    quota.check_cluster(workspace.store, name, changed)

    def apply(document: ClusterDocument) -> ClusterDocument:
        now = iso(workspace.clock.now())
        return {
            **document,
            "properties": {**document["properties"], "modifiedOn": now, "properties": changed},
        }

    answer = _resource(workspace, workspace.store.update(CLUSTERS, name, apply))
    operation = workspace.operations.begin(CLUSTERS, name, transitions.UPDATE_COMPUTE)
    workspace.jobs.clusters.scale(name)
    return accepted(request, operation, answer, 200)


def delete(request: Request) -> Response:
    """Delete the cluster, a long operation."""
    workspace, name = workspace_of(request), request.path_params["name"]
    if request.query_params.get("underlyingResourceAction") not in ("Delete", "Detach"):
        raise BadRequest(
            "The query parameter underlyingResourceAction must be Delete or Detach.",
            target="underlyingResourceAction",
        )
    if workspace.store.get(COMPUTE_INSTANCES, name) is not None:
        operation = workspace.operations.begin(COMPUTE_INSTANCES, name, transitions.DELETE_COMPUTE)
    else:
        _existing(workspace, name)
        operation = workspace.operations.begin(CLUSTERS, name, transitions.DELETE_COMPUTE)
        workspace.jobs.clusters.scale(name)
    return accepted(request, operation, None, 202)


def nodes(request: Request) -> Response:
    """The cluster's nodes and what each is doing."""
    workspace, name = workspace_of(request), request.path_params["name"]
    _existing(workspace, name)
    return JSONResponse(
        {
            "nodes": [
                {
                    "nodeId": row.id,
                    "nodeState": "preparing" if row.preparing else "idle" if row.idle else "running",
                    "runId": None if row.idle else row.owner,
                }
                for row in workspace.ledger.running("node", name)
            ]
        }
    )


def _existing(workspace: Workspace, name: str) -> ClusterDocument:
    document = workspace.store.get(CLUSTERS, name)
    if document is None:
        raise NotFound(f"The compute {name} does not exist.", code="ComputeNotFound")
    return document


def _check_unchanged(existing: ClusterDocument, cluster: ClusterSettings) -> None:
    kept = cluster_settings(existing)
    pairs = {
        "vmSize": (kept["vmSize"], cluster["vmSize"]),
        "vmPriority": (kept["vmPriority"], cluster["vmPriority"]),
    }
    for name, (old, new) in pairs.items():
        if old != new:
            raise Conflict(
                f"The {name} of an existing compute cannot be changed from {old} to {new}: "
                "delete it and create it again.",
                code="ComputeNotUpdatable",
                target=name,
            )


def _resource(workspace: Workspace, document: ClusterDocument) -> Json:
    name, given = document["name"], document["properties"]
    failed = workspace.store.get(ALLOCATION_ERRORS, name)
    settings = cluster_settings(document)
    live = workspace.jobs.clusters.live(name)
    live |= {
        "allocationState": live["allocationState"] if failed is None else "Resizing",
        "allocationStateTransitionTime": live["allocationStateTransitionTime"] or given["modifiedOn"],
        "errors": None if failed is None else [{"error": failed}],
        "propertyBag": {},
    }
    beside: Json = {"identity": document["identity"]} if document.get("identity") else {}
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
            "properties": {**settings, **live},
        },
        location=document["location"],
        tags=document["tags"],
        **beside,
    )


def _instance(workspace: Workspace, name: str, document: Json) -> Json:
    path = f"{workspace.settings.workspace_arm_id}/computes/{name}"
    beside = {key: document[key] for key in ("location", "tags")}
    return resource(path, "workspaces/computes", document["properties"], **beside)


routes = [
    route(WORKSPACE + "/computes", GET=list_all),
    route(WORKSPACE + "/computes/{name}", at_once=get, PUT=put, PATCH=patch, DELETE=delete),
    route(WORKSPACE + "/computes/{name}/listNodes", POST=nodes),
]
