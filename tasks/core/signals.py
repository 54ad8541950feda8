"""Signals that end a run: what is cleared up because of one is not itself interrupted by the next."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def undisturbed(interrupted: bool = True) -> Iterator[None]:
    """Ignore SIGTERM while the block clears up after an interruption.

    Process managers signal a process and then its group: the second would hit while a job is being cancelled.
    Only then is Prefect's own handler taken away: a process with another one is not told that its run is
    cancelled, and the run would end as crashed, to be started again.
    """
    if not interrupted or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
