"""The scoring address of an endpoint: who may ask, and how a model's failures are answered."""

from __future__ import annotations

import hmac
from time import perf_counter
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from azureml_local.errors import NotFound, Unauthorized
from azureml_local.execution.router import DEPLOYMENT_HEADER, ModelAnswer, ScoringRequest
from azureml_local.execution.scoring_stream import ScoringStream
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import INFERENCE
from azureml_local.state.documents import ENDPOINTS, auth_mode
from azureml_local.state.endpoint_documents import EndpointDocument
from azureml_local.wire.arm import read, workspace_of
from azureml_local.wire.endpoint import audience

_STATUS_HEADER = "ms-azureml-model-error-statuscode"
_REASON_HEADER = "ms-azureml-model-error-reason"


async def score(request: Request) -> Response:
    """Pass the request to a deployment chosen by header or traffic, and its answer back.

    Its path is the container's, whatever it is: Azure passes on all of them, as samples show that call
    /v1/chat/completions behind an endpoint (azureml-examples, nvidia-nim-llama3-8b).
    """
    workspace, endpoint = workspace_of(request), _endpoint(request)
    _authenticate(workspace, endpoint, request.headers.get("authorization"))
    router = workspace.router
    name = router.choose(endpoint, request.headers.get(DEPLOYMENT_HEADER))
    asked = ScoringRequest(
        await read(request, workspace.settings.document_limit),
        request.method,
        _path(request),
        {"content-type": "application/json", **request.headers},
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
    if answer.stream is not None:
        return _Streamed(answer.stream, answer.status, media_type=answer.media_type)
    if answer.is_success:
        passed = Response(answer.body, answer.status)
        for name, value in answer.headers:
            passed.headers.append(name, value)
        return passed
    headers = {_STATUS_HEADER: str(answer.status), _REASON_HEADER: "model_error"}
    return Response(answer.body, 424, headers, answer.media_type)


class _Streamed(StreamingResponse):
    """An answer passed on piece by piece, which lets go of its deployment however it ends."""

    def __init__(self, stream: ScoringStream, status: int, media_type: str | None) -> None:
        super().__init__(aiter(stream), status, media_type=media_type)
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._stream.close()


def _path(request: Request) -> str:
    """The path below the endpoint's, with its query."""
    query = request.url.query
    return f"/{request.path_params['path']}" + (f"?{query}" if query else "")


routes = [
    Route(INFERENCE + "/{endpoint}/swagger.json", swagger, methods=["GET"]),
    Route(INFERENCE + "/{endpoint}/{path:path}", score, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
]
