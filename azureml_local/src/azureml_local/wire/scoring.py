"""The scoring address of an endpoint: who may ask, and how a model's failures are answered."""

from __future__ import annotations

import hmac
from time import perf_counter
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.errors import NotFound, Unauthorized
from azureml_local.execution.router import DEPLOYMENT_HEADER, ModelAnswer, ScoringRequest
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import INFERENCE
from azureml_local.state.documents import ENDPOINTS, auth_mode
from azureml_local.state.endpoint_documents import EndpointDocument
from azureml_local.wire.arm import read, workspace_of
from azureml_local.wire.endpoint import audience

_STATUS_HEADER = "ms-azureml-model-error-statuscode"
_REASON_HEADER = "ms-azureml-model-error-reason"


async def score(request: Request) -> Response:
    """Pass the request to a deployment chosen by header or traffic, and its answer back."""
    workspace, endpoint = workspace_of(request), _endpoint(request)
    _authenticate(workspace, endpoint, request.headers.get("authorization"))
    router = workspace.router
    name = router.choose(endpoint, request.headers.get(DEPLOYMENT_HEADER))
    asked = ScoringRequest(
        await read(request, workspace.settings.document_limit),
        request.headers.get("content-type", "application/json"),
    )
    router.mirror(endpoint, asked)
    begun = perf_counter()
    answer = await router.forward(name, asked)
    response, deployment = _response(answer), name.partition("/")[2]
    # As recorded in 2025; the name of the server behind it is left out, as another one answers here.
    response.headers[DEPLOYMENT_HEADER] = response.headers["azureml-model-session"] = deployment
    response.headers["x-ms-run-fn-exec-ms"] = f"{(perf_counter() - begun) * 1000:.3f}"
    response.headers["x-ms-run-function-failed"] = str(not answer.is_success)
    response.headers["X-Request-ID"] = str(uuid4())
    return response


async def swagger(request: Request) -> Response:
    """The OpenAPI document of an endpoint."""
    workspace, endpoint = workspace_of(request), _endpoint(request)
    _authenticate(workspace, endpoint, request.headers.get("authorization"))
    answers = {"200": {"description": "what the model answers"}, "424": {"description": "the model failed"}}
    operation = {
        "summary": "Score a request",
        "requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": answers,
    }
    return JSONResponse(
        {
            "openapi": "3.0.0",
            "info": {"title": endpoint["name"], "version": "1.0"},
            "servers": [{"url": f"{workspace.settings.base_url}{INFERENCE}/{endpoint['name']}"}],
            "paths": {"/score": {"post": operation}},
        }
    )


def _endpoint(request: Request) -> EndpointDocument:
    name = request.path_params["endpoint"]
    document = workspace_of(request).store.get(ENDPOINTS, name)
    if document is None:
        raise NotFound(f"There is no online endpoint named '{name}'.", code="EndpointNotFound")
    return document


def _authenticate(workspace: Workspace, endpoint: EndpointDocument, authorization: str | None) -> None:
    """Raise Unauthorized unless the caller shows what the endpoint's authMode asks for."""
    mode = auth_mode(endpoint)
    if mode == "AADToken":
        workspace.tokens.check(authorization)
        return
    if mode == "AMLToken":
        wanted = audience(workspace, endpoint["name"])
        if workspace.tokens.check(authorization, wanted)["aud"] != wanted:
            raise Unauthorized("The token is not this endpoint's: ask its token operation for one.")
        return
    scheme, _, given = (authorization or "").partition(" ")
    keys = (endpoint["keys"]["primaryKey"], endpoint["keys"]["secondaryKey"])
    # Both are compared whole, so that the time taken tells nothing about either.
    matches = [hmac.compare_digest(given.strip().encode(), key.encode()) for key in keys]
    if scheme.casefold() != "bearer" or not any(matches):
        raise Unauthorized(
            "The endpoint's key is missing or wrong: send the header 'Authorization: Bearer KEY' with one of "
            "the keys that listKeys returns.",
            code="AuthenticationFailed",
        )


def _response(answer: ModelAnswer) -> Response:
    """The model's answer as the endpoint passes it on: whatever is no success becomes 424, with its body."""
    if answer.is_success:
        return Response(answer.body, answer.status, media_type=answer.media_type)
    headers = {_STATUS_HEADER: str(answer.status), _REASON_HEADER: "model_error"}
    return Response(answer.body, 424, headers, answer.media_type)


routes = [
    Route(INFERENCE + "/{endpoint}/score", score, methods=["POST"]),
    Route(INFERENCE + "/{endpoint}/swagger.json", swagger, methods=["GET"]),
]
