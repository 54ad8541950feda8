"""A Prefect server of the tests' own, workers of it, and the command line that talks to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.operations.stand import POOL, PrefectServer, end, free_port, serving, start_worker, working

__all__ = ["POOL", "PrefectServer", "end", "free_port", "joined", "serving", "start_worker", "working"]


@contextmanager
def joined(server: PrefectServer) -> Iterator[None]:
    """Flows of this process run on the server while the block runs, and keep their results in its home."""
    import prefect.settings as settings

    updates: dict[Any, Any] = {
        settings.PREFECT_HOME: server.home,
        settings.PREFECT_API_URL: f"{server.url}/api",
        settings.PREFECT_LOCAL_STORAGE_PATH: server.home / "storage",
        settings.PREFECT_LOGGING_LEVEL: "WARNING",
    }
    with settings.temporary_settings(updates):
        yield
