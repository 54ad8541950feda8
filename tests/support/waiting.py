"""Waiting for a condition instead of for time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A condition that comes true costs no more than it takes; this is for a machine that has other work.
_LIMIT = 240.0  # seconds


def until(condition: Callable[[], T | None], limit: float = _LIMIT) -> T:
    """The first value of the condition that is true; fails the test when there is none in time."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)
    return value
