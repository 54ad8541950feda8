"""Polling long operations, and the answers that begin them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.wire.arm import LOCATION, route, workspace_of

# Resource Manager's clients poll at once, then after this many seconds.
RETRY_AFTER = 1


def accepted(request: Request, operation_id: str, body: dict[str, Any] | None, status: int = 201) -> Response:
    """The answer to a request that began a long operation: 201 with the resource, or 202 without."""
    own = f"{workspace_of(request).settings.base_url}{request.url.path}?api-version={_version(request)}"
    headers = {
        "Azure-AsyncOperation": address(request, operation_id),
        "Location": address(request, operation_id, "mfeOperationResults") if status == 202 else own,
        "Retry-After": str(RETRY_AFTER),
        "x-ms-async-operation-timeout": "PT30M",
    }
    if body is None:
        return Response(status_code=status, headers=headers)
    return JSONResponse(body, status, headers)


def address(request: Request, operation_id: str, collection: str = "mfeOperationsStatus") -> str:
    """Where to poll the operation."""
    settings = workspace_of(request).settings
    region = LOCATION.format(subscription=settings.subscription_id, location=settings.location)
    return f"{settings.base_url}{region}/{collection}/{operation_id}?api-version={_version(request)}"


def status(request: Request) -> Response:
    """How far a long operation is, with its error when it failed."""
    operation_id = request.path_params["operation"]
    operation = workspace_of(request).operations.get(operation_id)
    answer: dict[str, Any] = {
        "id": request.url.path,
        "name": operation_id,
        "status": operation["status"],
        "startTime": operation["startTime"],
        "percentComplete": 0.0 if operation["status"] == "InProgress" else 100.0,
    }
    if operation["endTime"]:
        answer["endTime"] = operation["endTime"]
    if operation["error"]:
        answer["error"] = operation["error"]
    headers = {"Retry-After": str(RETRY_AFTER)} if operation["status"] == "InProgress" else {}
    return JSONResponse(answer, headers=headers)


def result(request: Request) -> Response:
    """202 while the operation runs, then 204, or its error."""
    operation = workspace_of(request).operations.get(request.path_params["operation"])
    if operation["status"] == "InProgress":
        return Response(
            status_code=202, headers={"Location": str(request.url), "Retry-After": str(RETRY_AFTER)}
        )
    if operation["error"]:
        return JSONResponse({"error": operation["error"]}, 400)
    return Response(status_code=204)


def _version(request: Request) -> str:
    return quote(request.query_params.get("api-version", ""))


routes = [
    route(LOCATION + "/mfeOperationsStatus/{operation}", GET=status),
    route(LOCATION + "/computeOperationsStatus/{operation}", GET=status),
    route(LOCATION + "/mfeOperationResults/{operation}", GET=result),
]
