"""The scoring address of an endpoint: who may ask, which deployment answers, how its failures are told."""

from __future__ import annotations

import asyncio
import hmac
import logging
import random

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.errors import NotFound, ServiceError, Unauthorized
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.deployments import DEPLOYMENTS, ENDPOINTS
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import INFERENCE
from azureml_local.state.store import Document
from azureml_local.wire.arm import read, workspace_of
from azureml_local.wire.endpoint import audience

logger = logging.getLogger(__name__)

DEPLOYMENT_HEADER = "azureml-model-deployment"
_STATUS_HEADER = "ms-azureml-model-error-statuscode"
_REASON_HEADER = "ms-azureml-model-error-reason"

_MAX_WAIT = 200.0  # seconds, above any request timeout there can be

# Mirrored requests under way; the event loop itself keeps only weak references to tasks.
_mirrored: set[asyncio.Task[None]] = set()


async def score(request: Request) -> Response:
    """Pass the request to a deployment chosen by header or traffic, and its answer back."""
    workspace, endpoint = workspace_of(request), _endpoint(request)
    _authenticate(workspace, endpoint, request.headers.get("authorization"))
    name = _chosen(workspace, endpoint, request.headers.get(DEPLOYMENT_HEADER))
    body = await read(request, workspace.settings.document_limit)
    _mirror(workspace, endpoint, body, request)
    response = await _forward(workspace, name, body, request)
    response.headers[DEPLOYMENT_HEADER] = name.partition("/")[2]
    return response


async def swagger(request: Request) -> Response:
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


def _endpoint(request: Request) -> Document:
    name = request.path_params["endpoint"]
    document = workspace_of(request).store.get(ENDPOINTS, name)
    if document is None:
        raise NotFound(f"There is no online endpoint named '{name}'.", code="EndpointNotFound")
    return document


def _authenticate(workspace: Workspace, endpoint: Document, authorization: str | None) -> None:
    """Raise Unauthorized unless the caller shows what the endpoint's authMode asks for."""
    mode = endpoint["properties"]["authMode"]
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


def _chosen(workspace: Workspace, endpoint: Document, header: str | None) -> str:
    """The full name of the deployment that answers; raises NotFound."""
    if header is not None:
        name = f"{endpoint['name']}/{header}"
        document = workspace.store.get(DEPLOYMENTS, name)
        if document is None:
            raise NotFound(
                f"The endpoint '{endpoint['name']}' has no deployment '{header}'.", code="DeploymentNotFound"
            )
        return f"{endpoint['name']}/{document['name']}"
    shares = {name: share for name, share in endpoint["properties"]["traffic"].items() if share}
    if not shares:
        raise NotFound(
            f"No deployment of the endpoint '{endpoint['name']}' gets traffic: set its traffic, or name a "
            f"deployment in the header {DEPLOYMENT_HEADER}.",
            code="NoTraffic",
        )
    (deployment,) = random.choices(list(shares), weights=list(shares.values()))
    return f"{endpoint['name']}/{deployment}"


def _mirror(workspace: Workspace, endpoint: Document, body: bytes, request: Request) -> None:
    """Send copies of the mirrored share of requests, whose answers nobody reads."""
    for deployment, share in endpoint["properties"]["mirrorTraffic"].items():
        if random.uniform(0, 100) < share:
            task = asyncio.create_task(_copy(workspace, f"{endpoint['name']}/{deployment}", body, request))
            _mirrored.add(task)
            task.add_done_callback(_mirrored.discard)


async def _copy(workspace: Workspace, name: str, body: bytes, request: Request) -> None:
    try:
        response = await _forward(workspace, name, body, request)
        logger.info("mirrored a request to %s: %d", name, response.status_code)
    except ServiceError as error:
        logger.info("mirrored a request to %s: %d %s", name, error.status, error.message)


async def _forward(workspace: Workspace, name: str, body: bytes, request: Request) -> Response:
    """The deployment's answer; raises ServiceError 408, 429 or 502 where it has none."""
    document = workspace.store.get(DEPLOYMENTS, name)
    server = workspace.deployments.server(name)
    if document is None or server is None or server.port is None:
        raise ServiceError(
            502, "BadGateway", f"The deployment '{name}' has no instance that answers: see its logs."
        )
    deployment = Deployment.of(name, document)
    media_type = request.headers.get("content-type", "application/json")
    try:
        async with asyncio.timeout(deployment.timeout), workspace.deployments.gate(deployment).enter():
            answer = await _post(server.port, body, media_type)
    except TimeoutError as error:
        raise ServiceError(
            408,
            "RequestTimeout",
            f"The deployment '{name}' did not answer within its request timeout of {deployment.timeout:g} "
            "seconds: raise request_timeout_ms (at most 180000), or ask for less.",
        ) from error
    except httpx.TransportError as error:
        raise ServiceError(
            502, "BadGateway", f"The deployment '{name}' broke off without an answer: see its logs."
        ) from error
    return _told(answer)


async def _post(port: int, body: bytes, media_type: str) -> httpx.Response:
    # The deployment's own request timeout, kept by the caller, is the one that counts.
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=_MAX_WAIT) as client:
        return await client.post(
            f"http://127.0.0.1:{port}/score", content=body, headers={"content-type": media_type}
        )


def _told(answer: httpx.Response) -> Response:
    """The model's answer as the endpoint passes it on: whatever is no success becomes 424, with its body."""
    media_type = answer.headers.get("content-type")
    if answer.is_success:
        return Response(answer.content, answer.status_code, media_type=media_type)
    headers = {_STATUS_HEADER: str(answer.status_code), _REASON_HEADER: "model_error"}
    return Response(answer.content, 424, headers, media_type)


routes = [
    Route(INFERENCE + "/{endpoint}/score", score, methods=["POST"]),
    Route(INFERENCE + "/{endpoint}/swagger.json", swagger, methods=["GET"]),
]
