"""Polling long operations, and the answers that begin them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.state.documents import (
    BATCH_DEPLOYMENTS,
    BATCH_ENDPOINTS,
    CLUSTERS,
    COMPUTE_INSTANCES,
    DEPLOYMENTS,
    ENDPOINTS,
    OperationDocument,
)
from azureml_local.wire.arm import LOCATION, first_of, route, workspace_of

# Seconds. Assumed: of clusters and of a registry's assets no answer was recorded with or without the header.
# Those of endpoints and deployments have none (recorded in 2025), and clients wait as long as they like.
RETRY_AFTER = 1
_OF_ENDPOINTS = frozenset({ENDPOINTS.name, DEPLOYMENTS.name})
_OF_BATCHES = frozenset({BATCH_ENDPOINTS.name, BATCH_DEPLOYMENTS.name})
# Of an operation that has not ended (recorded in 2025: left out in 2022).
_NEVER = "0001-01-01T00:00:00+00:00"


def accepted(request: Request, operation_id: str, body: dict[str, Any] | None, status: int = 201) -> Response:
    """The answer to a request that began a long operation: 201 with the resource, or 202 with null.

    Seen: the Azure-AsyncOperation is signed for endpoints and deployments, so that it must be polled as it
    was given; a 202 has a Location to poll as well; no answer says when to ask again. A cluster's 201 has the
    first of these headers alone (OpenAPI 2024-04-01).
    """
    workspace = workspace_of(request)
    operation = workspace.operations.get(operation_id)
    signed = operation["kind"] in _OF_ENDPOINTS
    signature = f"&{workspace.tokens.operation_query(operation_id)}" if signed else ""
    own = f"{workspace.settings.base_url}{request.url.path}?api-version={_version(request)}"
    result_of = address(request, operation_id, "mfeOperationResults") + signature
    headers = {"Azure-AsyncOperation": address(request, operation_id) + signature, **_retry_after(operation)}
    if status == 202:
        headers["Location"] = result_of
    elif not _is_of_compute(operation):
        headers["Location"] = own
    if not _is_of_compute(operation):
        headers["x-ms-async-operation-timeout"] = "PT30M"
    return JSONResponse(body, status, headers)


def address(request: Request, operation_id: str, collection: str | None = None) -> str:
    """Where to poll the operation, without a signature."""
    workspace = workspace_of(request)
    settings = workspace.settings
    region = LOCATION.format(subscription=settings.subscription_id, location=settings.location)
    of_compute = _is_of_compute(workspace.operations.get(operation_id))
    usual = "computeOperationsStatus" if of_compute else "mfeOperationsStatus"
    query = f"api-version={_version(request)}" + ("&service=new" if of_compute else "")
    return f"{settings.base_url}{region}/{collection or usual}/{operation_id}?{query}"


def two_addresses(request: Request, operation_id: str, collection: str) -> Response:
    """202 of a workspace or a registry: without a body, with two addresses to poll (recorded in 2022)."""
    settings = first_of(request).settings
    region = LOCATION.format(subscription=settings.subscription_id, location=settings.location)
    address = f"{settings.base_url}{region}/{collection}/{operation_id}?api-version={_version(request)}"
    headers = {"Azure-AsyncOperation": f"{address}&type=async", "Location": f"{address}&type=location"}
    return Response(status_code=202, headers=headers)


def status(request: Request) -> Response:
    """How far a long operation is, with its error when it failed.

    Seen: an endpoint's or deployment's operation is Updating until it ends, whatever it does; how much of it
    is done stays 0.0, also at its end. One of a batch endpoint says nothing else (recorded in 2023).
    """
    operation_id, operation = _asked(request)
    answer: dict[str, Any] = {"id": request.url.path, "name": operation_id, "status": _word(operation)}
    if operation["kind"] not in _OF_BATCHES:
        answer["startTime"] = operation["startTime"]
        answer["endTime"] = operation["endTime"] or _NEVER
        answer["percentComplete"] = 0.0
    if operation["error"]:
        answer["error"] = operation["error"]
    return JSONResponse(answer, headers=_retry_after(operation))


def result(request: Request) -> Response:
    """202 while the operation runs, then 204, or its error."""
    _, operation = _asked(request)
    if _is_running(operation):
        return Response(status_code=202, headers={"Location": str(request.url), **_retry_after(operation)})
    if operation["error"]:
        return JSONResponse({"error": operation["error"]}, 400)
    return Response(status_code=204)


def _asked(request: Request) -> tuple[str, OperationDocument]:
    """The operation of the path; raises Forbidden where its signature has been changed.

    Assumed: that an address without any signature is answered. The property AzureAsyncOperationUri has such
    a one, and clients of 2022 knew no other.
    """
    workspace, operation_id = workspace_of(request), request.path_params["operation"]
    if any(name in request.query_params for name in "tcsh"):
        workspace.tokens.check_operation(request.query_params, operation_id)
    return operation_id, workspace.operations.get(operation_id)


def _is_of_compute(operation: OperationDocument) -> bool:
    return operation["kind"] in (CLUSTERS.name, COMPUTE_INSTANCES.name)


def _is_running(operation: OperationDocument) -> bool:
    return operation["status"] == "InProgress"


def _word(operation: OperationDocument) -> str:
    """The status as its service says it."""
    is_updating = _is_running(operation) and operation["kind"] in _OF_ENDPOINTS | _OF_BATCHES
    return "Updating" if is_updating else operation["status"]


def _retry_after(operation: OperationDocument) -> dict[str, str]:
    """When to ask again, of an operation that has not ended, where the service says so."""
    if not _is_running(operation) or operation["kind"] in _OF_ENDPOINTS | _OF_BATCHES:
        return {}
    return {"Retry-After": str(RETRY_AFTER)}


def _version(request: Request) -> str:
    return quote(request.query_params.get("api-version", ""))


routes = [
    route(LOCATION + "/mfeOperationsStatus/{operation}", at_once=status),
    route(LOCATION + "/computeOperationsStatus/{operation}", at_once=status),
    route(LOCATION + "/mfeOperationResults/{operation}", at_once=result),
]
