"""A stage that hangs is ended: also where it waits for a lock that nobody releases."""

from __future__ import annotations

import signal
import threading

from tasks.azure.failure import Cause
from tasks.core.limit import limited
from tests.support.failures import fails


def test_a_lock_that_nobody_releases_ends_with_the_limit() -> None:
    lock = threading.Lock()
    before = signal.getsignal(signal.SIGALRM)
    lock.acquire()
    with fails(Cause.TIMED_OUT, "The stage sign in took longer than") as caught, limited("sign in", 0.05):
        lock.acquire()
    assert caught.value.retryable
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_ends_in_time_hears_nothing_of_its_limit() -> None:
    with limited("sign in", 600):
        pass
    timers = (each for each in threading.enumerate() if isinstance(each, threading.Timer))
    assert all(timer.finished.is_set() for timer in timers)


def test_a_library_that_catches_everything_does_not_catch_the_limit() -> None:
    never = threading.Event()

    def stubborn() -> None:
        try:
            never.wait()
        except Exception:  # noqa: BLE001 - as the SDKs' retries do
            never.wait()

    with fails(Cause.TIMED_OUT), limited("sign in", 0.05):
        stubborn()
