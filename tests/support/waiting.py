"""Waiting for a condition instead of for time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# The one limit of the suite, in seconds: it ends what hangs, and asserts nothing. What comes true costs no
# more than it takes, so this is for a machine with much other work. pytest's limit for a test is longer.
PATIENCE = 600.0
# Seconds between two looks of the SDK at an operation. The service names none, and its own are 5 and 30.
OFTEN = 0.2
# Between two looks: at least so many seconds, so many times what a look takes, and this share of the time
# since the first. A look asks servers, and leaves the processor to what is waited for.
_PAUSE = float(os.environ.get("FINETUNE_TESTS_PAUSE", 0.02))
_LOOKS = 8
_WAITED = 0.05
_LONGEST = max(1.0, _PAUSE)


def until(
    condition: Callable[[], T | None], otherwise: str | Callable[[], str] = "", limit: float = PATIENCE
) -> T:
    """The first value of the condition that is true; fails the test, saying what is wrong, when none is."""
    value = _first(condition, limit)
    if not value:
        said = otherwise() if callable(otherwise) else otherwise
        raise AssertionError(said or "the condition did not become true")
    return value


def holds(condition: Callable[[], object], limit: float = PATIENCE) -> bool:
    """Whether the condition becomes true; for those who have more to say when it does not."""
    return bool(_first(condition, limit))


def _first(condition: Callable[[], T | None], limit: float) -> T | None:
    began = looks = time.monotonic()
    while not (value := condition()) and (looked := time.monotonic()) < began + limit:
        pause = max(_PAUSE, _LOOKS * (looked - looks), _WAITED * (looked - began))
        time.sleep(min(pause, _LONGEST))
        looks = time.monotonic()
    return value
