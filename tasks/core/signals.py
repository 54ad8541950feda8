"""The signals that end a run: the first does, a second breaks no clean-up, a third leaves the rest."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from prefect.exceptions import TerminationSignal

# Ctrl-C, what managers of processes send, and a terminal or a connection that closes; Windows lacks the last.
_ENDING = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
_BREAKS_AT = 3
_NOTICE = b"What costs is being released. Interrupt once more to leave the rest of it.\n"


class _Received:
    """How many signals have reached the run of this process; it clears up from the first one on."""

    def __init__(self) -> None:
        self.count = 0
        self.replaced: dict[int, signal._HANDLER] = {}


_received: _Received | None = None


@contextmanager
def heeded() -> Iterator[None]:
    """While the block runs, a first signal raises in it, a second is only noted, and a third raises again.

    SIGTERM stays with Prefect until it comes: a process with another handler is not told that its run is
    cancelled, and the run would end as crashed, to be started again. Whoever catches what it raises calls
    `hold`. What is ignored when the block begins, as by nohup, stays ignored.
    """
    global _received
    if _received is not None or threading.current_thread() is not threading.main_thread():
        yield
        return
    _received = received = _Received()
    for number in _ENDING:
        if number != signal.SIGTERM:
            _replace(number, received)
    try:
        yield
    finally:
        _received = None
        for number, before in received.replaced.items():
            signal.signal(number, before)


def hold() -> None:
    """Let what follows clear up in peace: a signal has been raised, and the next one shall only be noted."""
    received = _received
    if received is None or threading.current_thread() is not threading.main_thread():
        return
    received.count = max(received.count, 1)
    for number in _ENDING:
        if number not in received.replaced:
            _replace(number, received)


def leaving() -> bool:
    """Whether so many signals have come that what is not yet released stays."""
    return _received is not None and _received.count >= _BREAKS_AT


def _replace(number: int, received: _Received) -> None:
    before = signal.getsignal(number)
    if before not in (signal.SIG_IGN, None):
        received.replaced[number] = before
        signal.signal(number, _arrive)


def _arrive(number: int, frame: FrameType | None) -> None:
    received = _received
    if received is None:
        return
    received.count += 1
    if 1 < received.count < _BREAKS_AT:
        with suppress(OSError):  # not through a log: its locks may be held by what this interrupts
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTICE)
        return
    if received.count == 1:
        hold()
    raise KeyboardInterrupt if number == signal.SIGINT else TerminationSignal(signal=number)
