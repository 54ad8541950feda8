"""Outages: how long each call goes on, by a clock that only the waiting moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tasks.azure.failure import Cause, Failure
from tasks.core import outage
from tests.support.failures import fails


class Clock:
    """Moves when somebody sleeps, and by what a call takes."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outage, "monotonic", clock)
    monkeypatch.setattr(outage, "sleep", clock.sleep)
    return clock


def away(clock: Clock, until: float, **headers: str) -> Callable[[], str]:
    """A service that is busy until then."""

    def call() -> str:
        if clock.now < until:
            response = requests.Response()
            response.status_code = 503
            response.headers.update(headers)
            raise requests.HTTPError("503", response=response)
        return "done"

    return call


@pytest.mark.parametrize("seconds", [1, 60, 3500])
def test_an_outage_within_the_budget_is_outlasted(clock: Clock, seconds: float) -> None:
    with outage.budget(60):
        assert outage.outlast(away(clock, seconds)) == "done"
    assert clock.now < seconds + 90  # it looks at least once a minute or so
    assert len(clock.pauses) < 90


def test_an_outage_beyond_the_budget_is_reported_with_its_length(clock: Clock) -> None:
    with outage.budget(60), fails(Cause.UNREACHABLE, "It was so for 6", "Run again") as caught:
        outage.outlast(away(clock, 4000))
    assert not caught.value.retryable


def test_what_deletes_goes_on_for_twice_as_long(clock: Clock) -> None:
    with outage.budget(60):
        assert outage.outlast(away(clock, 7000), outage.CLEAN_UP) == "done"


def test_the_budget_ends_with_the_run(clock: Clock) -> None:
    with outage.budget(60):
        pass
    with fails(Cause.UNREACHABLE) as caught:
        outage.outlast(away(clock, 1))
    assert caught.value.retryable  # by whoever calls
    assert clock.pauses == []


def test_the_pause_that_the_service_asks_for_is_kept(clock: Clock) -> None:
    with outage.budget(60):
        outage.outlast(away(clock, 1, **{"Retry-After": "45"}))
    assert clock.pauses == [45]


@pytest.mark.parametrize(
    "error",
    [
        Failure("No machines.", retryable=True, cause=Cause.CAPACITY),
        Failure("It was out of reach for an hour.", cause=Cause.UNREACHABLE),
        ValueError("a fault of ours"),
    ],
)
def test_what_is_no_outage_is_not_waited_for(clock: Clock, error: Exception) -> None:
    def call() -> None:
        raise error

    with outage.budget(60), pytest.raises(type(error)) as caught:
        outage.outlast(call)
    assert caught.value is error
    assert clock.pauses == []


def test_an_attempt_that_went_far_has_met_another_outage(clock: Clock) -> None:
    ends = iter([3000.0, 1200.0, 0.0])

    def call() -> str:
        took = next(ends)
        clock.now += took
        if took:
            raise ConnectionError("Connection reset")
        return "done"

    with outage.budget(60):
        assert outage.outlast(call) == "done"
