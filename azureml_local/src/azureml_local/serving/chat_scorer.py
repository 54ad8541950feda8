"""Chat-completion models, answered by the generator."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.responses import JSONResponse, Response

from azureml_local.serving.answers import parsed, refusal
from azureml_local.serving.chat import InvalidRequest, parse
from azureml_local.serving.generation import Generator


class ChatScorer:
    """Answers Azure's chat request with a causal language model in Hugging Face's format."""

    def __init__(self, weights: Path, *, rows: int, threads: int | None, precision: str) -> None:
        self._generator = Generator(weights, rows=rows, threads=threads, precision=precision)

    async def score(self, body: bytes) -> Response:
        try:
            request = parse(parsed(body))
            answers = [
                asyncio.wrap_future(self._generator.submit(conversation, request.sampling))
                for conversation in request.conversations
            ]
        except (InvalidRequest, ValueError) as error:
            return refusal(str(error))
        return JSONResponse(request.answer(await asyncio.gather(*answers)))

    def close(self) -> None:
        self._generator.close()
