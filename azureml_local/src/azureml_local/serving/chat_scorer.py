"""Chat-completion models, answered by the generator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from azureml_local.serving.answers import parsed, refusal
from azureml_local.serving.chat import InvalidRequest, parse
from azureml_local.serving.completions import Completion, CompletionRequest, Generated
from azureml_local.serving.completions import parse as parse_completion
from azureml_local.serving.generation import Generator


class ChatScorer:
    """Answers Azure's and OpenAI's chat requests with a causal language model in Hugging Face's format."""

    methods: Sequence[str] = ("POST",)

    def __init__(self, weights: Path, *, name: str, rows: int, threads: int | None, precision: str) -> None:
        self._name = name
        self._generator = Generator(weights, rows=rows, threads=threads, precision=precision)

    async def score(self, request: Request, body: bytes) -> Response:
        try:
            asked = parse(parsed(body))
            answers = [
                asyncio.wrap_future(self._generator.submit(conversation, asked.sampling))
                for conversation in asked.conversations
            ]
        except (InvalidRequest, ValueError) as error:
            return refusal(str(error))
        return JSONResponse(asked.answer([each.text for each in await asyncio.gather(*answers)]))

    async def complete(self, body: bytes) -> Response:
        """The answer to OpenAI's request; with `stream` as server-sent events, the last of them [DONE]."""
        generator = self._generator
        try:
            request = parse_completion(parsed(body), generator.usual, generator.context)
            pieces: asyncio.Queue[str | None] = asyncio.Queue()
            loop = asyncio.get_running_loop()

            def hear(text: str | None) -> None:
                loop.call_soon_threadsafe(pieces.put_nowait, text)

            submitted = generator.submit(request.messages, request.sampling, hear if request.stream else None)
        except (InvalidRequest, ValueError) as error:
            return _refusal(str(error))
        answer, completion = asyncio.wrap_future(submitted), Completion(self._name)
        if not request.stream:
            return JSONResponse(completion.whole(await answer))
        submitted.add_done_callback(lambda _: hear(None))
        events = _events(completion, request, pieces, answer)
        return StreamingResponse(events, media_type="text/event-stream")

    def close(self) -> None:
        self._generator.close()


async def _events(
    completion: Completion,
    request: CompletionRequest,
    pieces: asyncio.Queue[str | None],
    answer: asyncio.Future[Generated],
) -> AsyncIterator[bytes]:
    try:
        yield completion.first()
        while (text := await pieces.get()) is not None:
            yield completion.piece(text)
        yield completion.last(await answer, with_usage=request.with_usage)
    finally:
        answer.cancel()  # where the client has gone; without effect on one that is whole


def _refusal(message: str) -> Response:
    """A refusal in the shape of Azure's OpenAI routes (llm-optimized-inference 0.2.58, read)."""
    error: dict[str, Any] = {"code": "Bad Request", "message": message, "status": 400}
    return JSONResponse({"error": error}, 400)
