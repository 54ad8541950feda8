"""Signals of a run: none is lost, and clean-up is left in peace by the second."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from prefect.exceptions import TerminationSignal

from tasks.core import insistence, signals
from tests.support.waiting import PATIENCE

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a second."""
    monkeypatch.setattr(insistence, "SECONDS", 0.01)


@pytest.fixture(autouse=True)
def as_a_process_of_its_own() -> Iterator[None]:
    """The handlers that a run finds: Python's for Ctrl-C, and one that raises, as Prefect's does."""

    def end(number: int, frame: object) -> None:
        raise TerminationSignal(signal=number)

    before = {number: signal.getsignal(number) for number in NUMBERS}
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize("second", NUMBERS)
def test_the_first_signal_raises_the_second_is_noted_and_the_third_raises(
    first: signal.Signals, second: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with signals.heeded():
        with pytest.raises((KeyboardInterrupt, TerminationSignal)):
            signal.raise_signal(first)
        signals.hold()
        signal.raise_signal(second)
        assert not signals.leaving()
        with pytest.raises((KeyboardInterrupt, TerminationSignal)):
            signal.raise_signal(second)
        assert signals.leaving()
    assert not signals.leaving()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_whose_exception_python_throws_away_comes_again(number: signal.Signals) -> None:
    class Interrupted:
        def __del__(self) -> None:
            signal.raise_signal(number)

    def run() -> None:
        thing = Interrupted()
        del thing
        threading.Event().wait()

    with signals.heeded(), pytest.raises((KeyboardInterrupt, TerminationSignal)):
        run()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])  # SIGTERM is Prefect's, and then SIGKILL
def test_a_signal_that_a_library_swallows_comes_again(number: signal.Signals) -> None:
    def swallow() -> None:
        with suppress(BaseException):
            signal.raise_signal(number)
        threading.Event().wait(PATIENCE)

    with signals.heeded(), pytest.raises((KeyboardInterrupt, TerminationSignal)):
        swallow()


def test_what_clears_up_after_a_signal_is_not_disturbed_by_its_coming_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = threading.Event()

    def look(*raised: type[BaseException]) -> bool:
        looked.set()
        return insistence.is_on_its_way(*raised)

    monkeypatch.setattr(signals, "is_on_its_way", look)
    cleared_up = []

    def run() -> None:
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            cleared_up.append(looked.wait(PATIENCE))

    with signals.heeded(), pytest.raises(KeyboardInterrupt):
        run()
    assert cleared_up == [True]


def test_a_signal_that_nobody_has_caught_is_no_reason_to_ignore_the_next() -> None:
    with signals.heeded():
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)


def test_what_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as by nohup
    with signals.heeded():
        signal.raise_signal(signal.SIGHUP)
        signals.hold()
        signal.raise_signal(signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_the_handlers_of_before_are_back_afterwards() -> None:
    before = [signal.getsignal(number) for number in NUMBERS]
    with signals.heeded():
        signals.hold()
        assert all(signal.getsignal(number) not in before for number in NUMBERS)
    assert [signal.getsignal(number) for number in NUMBERS] == before
