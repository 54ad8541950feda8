"""An answer that a model sends piece by piece, on its way through the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx


class ScoringStream:
    """The pieces of an answer, with the place at the deployment that it takes until it is closed.

    The deployment's request time-out counts to the last piece. Whether Azure's cuts a stream that runs is not
    known; what is finished here in time is finished there.
    """

    def __init__(self, answer: httpx.Response, held: AsyncExitStack, deadline: float) -> None:
        self._answer = answer
        self._held = held
        self._deadline = deadline

    async def __aiter__(self) -> AsyncIterator[bytes]:
        pieces = self._answer.aiter_raw()
        while True:
            try:
                async with asyncio.timeout_at(self._deadline):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            yield piece

    async def close(self) -> None:
        """Give up what is left of it, and its place; also where nobody has begun to read."""
        await self._held.aclose()
