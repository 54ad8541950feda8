"""MLflow's REST interface below the prefix that azureml-mlflow uses."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest
from azureml_local.execution.tracking import Answer
from azureml_local.wire.arm import WORKSPACE, body, route, workspace_of

_API = "/api/2.0/mlflow/"


def forward(request: Request) -> Response:
    """MLflow's own answer; of what it does not offer, such as logged models, a 404 that says nothing.

    As users printed it of Azure's (azure-sdk-for-python #44896).
    """
    if (wrong := _refused(request)) is not None:
        return wrong
    path = "/api/" + quote(request.path_params["path"])
    if query := request.scope["query_string"]:
        path += "?" + quote(query, safe="=&%+,:;/?@!$'()*[]~")
    answer = workspace_of(request).tracking.forward(
        request.method, path, request.state.raw, request.headers.get("content-type", "application/json")
    )
    if answer.status in (404, 405) and "json" not in answer.content_type:
        return Response(status_code=404)
    return _answered(answer)


def log_batch_async(request: Request) -> Response:
    """Log at once what could be logged later: no tracking id, so there is nothing to wait for."""
    if (wrong := _refused(request)) is not None:
        return wrong
    answer = workspace_of(request).tracking.forward(
        "POST", _API + "runs/log-batch", request.state.raw, "application/json"
    )
    if answer.status != 200:
        return _answered(answer)
    return JSONResponse({"batch_tracking_id": ""})


def _answered(answer: Answer) -> Response:
    """MLflow's answer; where its server has stumbled over a value of the wrong type, that of Azure's.

    It tells its own errors as JSON, and these by a page of HTML.
    """
    if answer.status == 500 and "html" in answer.content_type:
        return _bad_request("The request body has a value that MLflow cannot read: see its REST reference.")
    return Response(answer.body, answer.status, media_type=answer.content_type)


def _refused(request: Request) -> Response | None:
    """The answer to a body that is no JSON object: MLflow's own server passes over it, or fails."""
    if "json" in request.headers.get("content-type", "json"):
        try:
            body(request)
        except BadRequest as error:
            return _bad_request(error.message)
    return None


def _bad_request(message: str) -> Response:
    return JSONResponse({"error_code": "BAD_REQUEST", "message": message}, 400)


_PREFIX = "/mlflow/{version}" + WORKSPACE
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

routes = [
    route(_PREFIX + _API + "runs/log-batch-async", POST=log_batch_async),
    route(_PREFIX + "/api/{path:path}", **dict.fromkeys(_METHODS, forward)),
]
