"""A bound on the requests a deployment works on, as Azure's front end keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from azureml_local.errors import ServiceError


class Gate:
    """Lets `limit` requests work and as many again wait; belongs to one event loop.

    Azure refuses what exceeds 2 × max_concurrent_requests_per_instance × instances (documentation of 429).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._inside = 0
        self._working = asyncio.Semaphore(limit)

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        """Wait for a place to work; raises ServiceError 429 when too many wait already."""
        if self._inside >= 2 * self.limit:
            raise ServiceError(
                429,
                "TooManyRequests",
                f"The deployment handles {self.limit} requests at a time and queues as many: send "
                "fewer at once, or raise max_concurrent_requests_per_instance or the number of instances.",
            )
        self._inside += 1
        try:
            async with self._working:
                yield
        finally:
            self._inside -= 1
