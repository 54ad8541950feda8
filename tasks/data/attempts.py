"""Again and again at a connection that breaks, with longer and longer pauses, until it is hopeless."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import sleep
from typing import TypeVar

from tasks.azure.failure import Cause, Failure

ATTEMPTS = 5
DELAY = 0.5  # seconds before the second attempt, twice that before the third, and so on

logger = logging.getLogger(__name__)

T = TypeVar("T")


def attempted(path: str, work: Callable[[], T]) -> T:
    """What `work` returns; raises Failure when it has failed in several attempts."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return work()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # noqa: BLE001 - each file system has its own for a broken connection
            reason = " ".join(str(error).split()) or type(error).__name__
            logger.info("%s: %s (attempt %d of %d)", path, reason, attempt, ATTEMPTS)
        if attempt < ATTEMPTS:
            sleep(DELAY * 2 ** (attempt - 1))
    raise Failure(
        f"Connection lost while reading {path}: {reason[:200]}.",
        f"It was tried {ATTEMPTS} times; check the connection and run again.",
        retryable=True,
        cause=Cause.UNREACHABLE,
    )
