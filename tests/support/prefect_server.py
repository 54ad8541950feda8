"""The Prefect server, worker and command line of `finetune show`, for tests; waits fail the test instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from flows.operations.stand import POOL, end, free_port, serving, start_worker, working
from flows.operations.stand import PrefectServer as Server

__all__ = ["POOL", "Server", "end", "free_port", "serving", "start_worker", "until", "working"]

T = TypeVar("T")


def until(condition: Callable[[], T | None], limit: float, otherwise: str) -> T:
    """The first true answer of the condition; fails the test after so many seconds."""
    ends = time.monotonic() + limit
    while time.monotonic() < ends:
        if answer := condition():
            return answer
        time.sleep(0.2)
    raise AssertionError(f"after {limit:g} s {otherwise}")
