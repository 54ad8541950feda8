"""The time that a stage may take which only talks to a service: one that hangs is ended and reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tasks.azure.failure import Cause, Failure

# The SDKs' own time-outs and retries of a call come to some six minutes, and a stage makes several calls.
TALK = 20 * 60.0  # seconds
# A stage that also waits for operations, which are given up after half an hour each.
OPERATION = 60 * 60.0


class _TooLong(BaseException):
    """Not an Exception: libraries that try everything again would take it for a lost connection."""


@contextmanager
def limited(what: str, seconds: float | None) -> Iterator[None]:
    """End the block with a Failure when it takes longer, even where it waits for a lock that nobody releases.

    Only the main thread can be interrupted; in others the block's own time-outs must do.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    over = threading.Event()
    main = threading.get_ident()

    def end(number: int, frame: FrameType | None) -> None:
        if over.is_set():
            raise _TooLong
        if callable(before):
            before(number, frame)

    def ring() -> None:
        over.set()
        signal.pthread_kill(main, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, end)
    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    except _TooLong as error:
        raise Failure(
            f"The stage {what} took longer than {seconds / 60:.0f} minutes and was ended.",
            "Run again; existing resources are reused.",
            retryable=True,
            cause=Cause.TIMED_OUT,
        ) from error
    finally:
        timer.cancel()
        signal.signal(signal.SIGALRM, before)
