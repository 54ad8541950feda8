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

from tasks.core.insistence import Insistence, is_on_its_way

# Ctrl-C, what managers of processes send, and a terminal or a connection that closes; Windows lacks the last.
_ENDING = tuple(
    number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
_BREAKS_AT = 2  # after the one that ended the run
_AGAIN = 0.05  # seconds until a signal is sent again whose exception was lost
_NOTICE = b"What costs is being released. Interrupt once more to leave the rest of it.\n"


class _Received:
    """What has reached the run of this process: it clears up from the first signal on that it has caught."""

    def __init__(self) -> None:
        self.is_caught = False
        self.further = 0
        # As they were before the block: within it Prefect puts one of its own in the place of SIGTERM's.
        self.before = {number: signal.getsignal(number) for number in _ENDING}
        self.replaced: dict[int, signal._HANDLER] = {}
        self.hook = sys.unraisablehook
        self.insistence = Insistence()


_received: _Received | None = None


@contextmanager
def heeded() -> Iterator[None]:
    """While the block runs, a first signal raises in it, a second is only noted, and a third raises again.

    What the first one raises is raised again where something has swallowed it, until `hold` is called.
    SIGTERM stays with Prefect until it comes: a process with another handler does not hear that its run is
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
    sys.unraisablehook = _send_again
    try:
        yield
    finally:
        _received = None
        sys.unraisablehook = received.hook
        received.insistence.end()
        for number, before in received.replaced.items():
            signal.signal(number, before)


def hold() -> None:
    """Let what follows clear up in peace: a signal has been caught, and the next one shall only be noted."""
    received = _received
    if received is not None and threading.current_thread() is threading.main_thread():
        received.is_caught = True
        received.insistence.end()
        _replace_all(received)


def leaving() -> bool:
    """Whether so many signals have come that what is not yet released stays."""
    return _received is not None and _received.further >= _BREAKS_AT


def _replace_all(received: _Received) -> None:
    for number in _ENDING:
        if number not in received.replaced:
            _replace(number, received)


def _replace(number: int, received: _Received) -> None:
    before = received.before[number]
    if before not in (signal.SIG_IGN, None):
        received.replaced[number] = before
        signal.signal(number, _arrive)


def _arrive(number: int, frame: FrameType | None) -> None:
    received = _received
    if received is None:
        return
    if received.insistence.is_sender():
        if received.is_caught and not leaving():
            return
        if is_on_its_way(KeyboardInterrupt, TerminationSignal):
            received.insistence.begin(number)
            return
    elif received.is_caught:
        received.further += 1
        if received.further < _BREAKS_AT:
            with suppress(OSError):  # not through a log: its locks may be held by what this interrupts
                os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, _NOTICE)
            return
    _replace_all(received)
    received.insistence.begin(number)
    raise KeyboardInterrupt if number == signal.SIGINT else TerminationSignal(signal=number)


def _send_again(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception Python has thrown away, as it does in callbacks and destructors."""
    received, error = _received, lost.exc_value
    if received is None:
        return
    if not isinstance(error, (KeyboardInterrupt, TerminationSignal)):
        received.hook(lost)
        return
    number = error.signal if isinstance(error, TerminationSignal) else signal.SIGINT
    received.insistence.begin(number, _AGAIN)  # a moment later: at once it would reach the same callback
