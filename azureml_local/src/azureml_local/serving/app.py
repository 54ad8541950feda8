"""The model server's routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.serving.answers import refusal
from azureml_local.serving.scorer import Completing, Scorer

logger = logging.getLogger(__name__)

CLIENT_CLOSED = 499  # nobody reads it; it names the case in the log


def create(scorer: Scorer) -> Starlette:
    """The application of one loaded model: its routes, and ``/`` and ``/health`` for the probes.

    Every model answers ``/score``; one that chats also OpenAI's ``/v1/chat/completions``, as Azure's image
    for chat models does and its image for other MLflow models does not.

    The model is loaded before the port is opened, so a probe that is answered finds it ready, as with the
    servers Azure's images carry.
    """

    async def score(request: Request) -> Response:
        return await _answered(request, partial(scorer.score, request))

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "Healthy"})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        scorer.close()

    routes = [Route("/", health), Route("/health", health), Route("/score", score, methods=scorer.methods)]
    if isinstance(scorer, Completing):
        completing = scorer

        async def complete(request: Request) -> Response:
            return await _answered(request, completing.complete)

        routes.append(Route("/v1/chat/completions", complete, methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


async def _answered(request: Request, answering: Callable[[bytes], Awaitable[Response]]) -> Response:
    """The model's answer to the request's body, which is given up when the client goes."""
    body = await request.body()
    answer = asyncio.ensure_future(answering(body))
    # The body has been read: the next message can only be that the client has gone.
    gone = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            return Response(status_code=CLIENT_CLOSED)
        return answer.result()
    except Exception as error:  # a model may raise anything; the server must go on
        logger.exception("the model failed")
        return refusal(f"the model failed: {error}", 500)
    finally:
        answer.cancel()
        gone.cancel()
