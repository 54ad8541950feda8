"""How each part of Azure shows an error.

Recorded: four shapes. Resource Manager's own errors have a code and a message (2022); the front end of the
workspace adds where and when, and the inner codes beside those (2022 to 2025); the workspace's own provider
`account-rp`, and the services that answer beside Resource Manager, have inner codes within the error and the
rest around it (2022, 2023). A missing compute has no body at all (wire/compute.py).

What no role allows is refused by Resource Manager itself, in its own shape (as users printed it:
pipelines-azureml #27), and by MLflow with an empty body (azure-sdk-for-python #31429). That run history has
the shape of the other services then is assumed.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

from starlette.responses import JSONResponse, Response

from azureml_local.errors import ServiceError
from azureml_local.settings import PROVIDER
from azureml_local.state.clock import iso
from azureml_local.state.workspace import WorkspaceState

_DATA_PLANE = "data-plane"
_ARM = re.compile("/subscriptions/", re.IGNORECASE)
_MLFLOW = re.compile("/mlflow/", re.IGNORECASE)
_ACCOUNT = re.compile(
    rf".*/providers/{re.escape(PROVIDER)}/workspaces(/[^/]+(/(listKeys|connections)(/.*)?)?)?$", re.IGNORECASE
)


def answer(state: WorkspaceState, path: str, error: ServiceError, request_id: str = "") -> Response:
    """The error as the service behind that path answers it."""
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
    ids = _correlation(request_id or str(uuid4()))
    if error.status == 403 and _MLFLOW.match(path):
        return Response(status_code=403)
    if not is_resource_managers(path):
        return JSONResponse(_around(state, error, ids, _DATA_PLANE), error.status, headers)
    if error.by_gateway:
        shown = {"error": {"code": error.code, "message": error.message}}
        return JSONResponse(shown, error.status, {**headers, "x-ms-failure-cause": "gateway"})
    if _ACCOUNT.match(path):
        return JSONResponse(_around(state, error, ids, "account-rp"), error.status, headers)
    return JSONResponse(
        _front_end(state, error, ids), error.status, {**headers, "x-ms-response-type": "error"}
    )


def is_resource_managers(path: str) -> bool:
    """Whether Resource Manager answers there, not a service beside it."""
    return bool(_ARM.match(path))


def _front_end(state: WorkspaceState, error: ServiceError, ids: dict[str, str]) -> dict[str, Any]:
    place = state.settings.location
    info = {
        "ComponentName": "managementfrontend",
        "Correlation": ids,
        "Environment": place,
        "Location": place,
        "Time": iso(state.clock.now()),
    }
    if (inner := error.inner_error()) is not None:
        info["InnerError"] = inner
    shown = [{"type": name, "info": {"value": value}} for name, value in info.items()]
    return {"error": {**error.document(), "additionalInfo": shown}}


def _around(
    state: WorkspaceState, error: ServiceError, ids: dict[str, str], component: str
) -> dict[str, Any]:
    place = state.settings.location
    return {
        "error": {
            "code": error.code,
            "severity": None,
            "message": error.message,
            "messageFormat": None,
            "messageParameters": None,
            "referenceCode": None,
            "detailsUri": None,
            "target": error.target,
            "details": [detail.document() for detail in error.details],
            "innerError": error.inner_error(),
            "debugInfo": None,
            "additionalInfo": None,
        },
        "correlation": ids,
        "environment": place,
        "location": place,
        "time": iso(state.clock.now()),
        "componentName": component,
        **({"statusCode": error.status} if component == _DATA_PLANE else {}),
    }


def _correlation(request_id: str) -> dict[str, str]:
    """The ids by which a request is found again: 32 and 16 hexadecimal digits."""
    digits = request_id.replace("-", "")
    return {"operation": digits, "request": digits[:16]}
