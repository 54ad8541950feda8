"""An interruption that is not lost: raised again for as long as nobody has caught it.

What a signal raises comes anywhere, also where a library swallows whatever it does not know: in a callback
from C, in a destructor, at a bare `except`. The run would go on, paid for, as if nobody had pressed Ctrl-C.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

SECONDS = 1.0  # until it is looked whether what was raised is still on its way


class Insistence:
    """Sends a signal to the main thread again, until `end` says that its exception was caught."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal may come to the thread that has it
        self._timer: threading.Timer | None = None
        self._has_sent = False

    def begin(self, number: int, seconds: float | None = None) -> None:
        """Send that signal after so many seconds, by default SECONDS."""
        main = threading.main_thread().ident
        assert main is not None
        self.end()
        timer = self._timer = threading.Timer(
            SECONDS if seconds is None else seconds, self._send, (main, number)
        )
        timer.daemon = True
        timer.start()

    def end(self) -> None:
        """Send nothing any more."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

    def is_sender(self) -> bool:
        """Whether the signal that has just arrived was sent from here; to be asked once."""
        sent, self._has_sent = self._has_sent, False
        return sent

    def _send(self, main: int, number: int) -> None:
        with self._lock:
            if self._timer is threading.current_thread():
                self._has_sent = True
                signal.pthread_kill(main, number)


def is_on_its_way(*raised: type[BaseException]) -> bool:
    """Whether such an exception is being handled here: `finally` blocks run, and shall be left in peace."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, raised):
            return True
        error = error.__context__
    return False


def raising_interrupts() -> tuple[Insistence, Callable[[int, object], None]]:
    """A handler for Ctrl-C that raises KeyboardInterrupt until somebody has caught it."""
    insistence = Insistence()

    def interrupt(number: int, frame: object) -> None:
        again = insistence.is_sender()
        insistence.begin(number)
        if not (again and is_on_its_way(KeyboardInterrupt)):
            raise KeyboardInterrupt

    return insistence, interrupt
