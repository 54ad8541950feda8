"""The time that a stage may take which only talks to a service: one that hangs is ended and reported."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextvars import copy_context
from types import FrameType
from typing import Generic, TypeVar

from tasks.azure.failure import Cause, Failure

R = TypeVar("R")

# The SDKs' own time-outs and retries of a call come to some six minutes, and a stage makes several calls.
TALK = 20 * 60.0  # seconds
# A stage that also waits for operations, which are given up after half an hour each.
OPERATION = 60 * 60.0
# A stage that works through data itself, however much there is; its single calls have limits of their own.
WORK = 6 * 60 * 60.0


def within(what: str, seconds: float | None, call: Callable[[], R]) -> R:
    """The call's result; raises Failure when it takes longer, even where it never returns.

    In the main thread the call itself is interrupted. No other thread can be: there the call gets a thread of
    its own, which is left behind, and which keeps no process from ending.
    """
    if seconds is None:
        return call()
    if threading.current_thread() is threading.main_thread():
        return _interrupted(what, seconds, call)
    aside = _Aside(call)
    aside.start()
    if not aside.ended.wait(seconds):
        raise _too_long(what, seconds)
    return aside.result()


class _TooLong(BaseException):
    """Not an Exception: libraries that try everything again would take it for a lost connection."""


def _interrupted(what: str, seconds: float, call: Callable[[], R]) -> R:
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
        return call()
    except _TooLong as error:
        raise _too_long(what, seconds) from error
    finally:
        timer.cancel()
        signal.signal(signal.SIGALRM, before)


class _Aside(threading.Thread, Generic[R]):
    """A call in a thread of its own, which knows the stage and the run that it belongs to."""

    def __init__(self, call: Callable[[], R]) -> None:
        super().__init__(name=f"{threading.current_thread().name}, limited", daemon=True)
        self.ended = threading.Event()
        self._call = call
        self._context = copy_context()
        self._returned: list[R] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._returned.append(self._context.run(self._call))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is wanted
            self._error = error
        finally:
            self.ended.set()

    def result(self) -> R:
        if self._error is not None:
            raise self._error
        (returned,) = self._returned
        return returned


def _too_long(what: str, seconds: float) -> Failure:
    return Failure(
        f"The stage {what} took longer than {seconds / 60:.0f} minutes and was ended.",
        "Run again; existing resources are reused.",
        retryable=seconds < WORK,  # by the run itself: another day is for a person to spend
        cause=Cause.TIMED_OUT,
    )
