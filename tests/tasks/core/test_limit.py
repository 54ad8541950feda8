"""A stage that hangs is ended: also where it waits for a lock that nobody releases."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from importlib.util import find_spec

import pytest
from prefect import Task

import tasks
from tasks.azure.failure import Cause
from tasks.core import limit
from tasks.core.limit import within
from tests.support.failures import fails
from tests.support.waiting import PATIENCE

OF_AN_EXTRA = "tasks.data.account"  # the extra `azure`, which a base install has not


def test_a_lock_that_nobody_releases_ends_with_the_limit() -> None:
    lock = threading.Lock()
    before = signal.getsignal(signal.SIGALRM)
    lock.acquire()
    with fails(Cause.TIMED_OUT, "The stage sign in took longer than") as caught:
        within("sign in", 0.05, lock.acquire)
    assert caught.value.retryable
    assert signal.getsignal(signal.SIGALRM) is before


def test_what_ends_in_time_hears_nothing_of_its_limit() -> None:
    assert within("sign in", 600, lambda: 7) == 7
    timers = (each for each in threading.enumerate() if isinstance(each, threading.Timer))
    assert all(timer.finished.is_set() for timer in timers)


def test_a_library_that_catches_everything_does_not_catch_the_limit() -> None:
    never = threading.Event()

    def stubborn() -> None:
        try:
            never.wait()
        except Exception:  # noqa: BLE001 - as the SDKs' retries do
            never.wait()

    with fails(Cause.TIMED_OUT):
        within("sign in", 0.05, stubborn)


def test_a_stage_in_a_thread_that_hangs_for_ever_is_ended_as_well() -> None:
    never = threading.Event()
    with ThreadPoolExecutor() as pool:  # whose end waits for its threads
        hung = pool.submit(within, "compute", 0.05, never.wait)
        with fails(Cause.TIMED_OUT, "The stage compute took longer than") as caught:
            hung.result(PATIENCE)
    assert caught.value.retryable
    never.set()


def test_what_is_limited_in_a_thread_knows_its_context_and_raises_its_own_errors() -> None:
    known: ContextVar[str] = ContextVar("known")
    known.set("of the stage")
    inside = copy_context()

    def wrong() -> None:
        raise KeyError(known.get())

    with ThreadPoolExecutor() as pool:
        assert pool.submit(inside.run, within, "compute", 600, known.get).result(PATIENCE) == "of the stage"
        with pytest.raises(KeyError, match="of the stage"):
            pool.submit(inside.run, within, "compute", 600, wrong).result(PATIENCE)


def test_every_stage_has_a_limit_but_for_the_wait_whose_looks_have_one_each() -> None:
    found = {
        member.fn.__qualname__: getattr(member, "limit", None)
        for module in pkgutil.walk_packages(tasks.__path__, "tasks.")
        if module.name != OF_AN_EXTRA or find_spec("adlfs")
        for member in vars(importlib.import_module(module.name)).values()
        if isinstance(member, Task)
    }
    assert len(found) > 20
    assert {name for name, seconds in found.items() if seconds is None} == {"wait_for_job"}
    assert all(seconds > 0 for seconds in found.values() if seconds is not None)


def test_a_day_of_work_that_went_nowhere_is_not_begun_again_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limit, "WORK", 0.05)
    with fails(Cause.TIMED_OUT, "The stage data took longer than") as caught:
        within("data", limit.WORK, threading.Event().wait)
    assert not caught.value.retryable
