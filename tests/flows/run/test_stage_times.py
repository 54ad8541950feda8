"""A stage's time is its own: what another stage has to delete or create on the way is not counted twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flows.run import stage_times
from flows.run.stage_times import StageTimes
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import observed, observing, report
from tasks.core.stages import Stage
from tests.support.failures import fails


class Clock:
    """Moves only when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(stage_times, "monotonic", clock)
    return clock


@pytest.fixture
def times(clock: Clock) -> Iterator[StageTimes]:
    times = StageTimes()
    with observing(times.record):
        yield times


def test_deleting_within_another_stage_is_that_stages_time(times: StageTimes, clock: Clock) -> None:
    with observed(Stage.ENDPOINT):
        report("deleting an endpoint that failed")
        clock.now += 1
    with observed(Stage.DEPLOY):
        clock.now += 1
    with observed(Stage.DELETE):
        report("deleting it")
        clock.now += 0.25
    assert times.by_stage() == {"endpoint": 1.0, "deploy": 1.0, "delete": 0.25}
    assert times.seconds(Stage.DEPLOY, Stage.INVOKE, Stage.DELETE) == 1.25


def test_nobody_hears_a_report_outside_of_a_stage(times: StageTimes) -> None:
    report("nothing is going on")
    assert times.by_stage() == {}


def test_a_retry_that_succeeds_mends_a_stage(times: StageTimes) -> None:
    with fails(Cause.IN_USE), observed(Stage.DEPLOY):
        raise Failure("It is busy.", cause=Cause.IN_USE)
    assert times.stopped_at == Stage.DEPLOY
    with observed(Stage.DEPLOY):
        pass
    assert times.stopped_at is None


def test_what_clears_up_does_not_hide_the_stage_that_failed(times: StageTimes) -> None:
    with fails(Cause.JOB), observed(Stage.TRAIN):
        raise Failure("It failed.", cause=Cause.JOB)
    with fails(Cause.IN_USE), observed(Stage.DELETE):
        raise Failure("It is busy.", cause=Cause.IN_USE)
    with observed(Stage.DELETE):
        pass
    assert times.stopped_at == Stage.TRAIN


def test_an_interrupted_run_stopped_at_the_stage_it_was_in(times: StageTimes) -> None:
    with pytest.raises(KeyboardInterrupt), observed(Stage.TRAIN):
        raise KeyboardInterrupt
    with observed(Stage.DELETE_COMPUTE):
        pass
    assert times.stopped_at == Stage.TRAIN


def test_a_run_interrupted_between_two_stages_stopped_at_the_last_one(times: StageTimes) -> None:
    with observed(Stage.SUBMIT):
        pass
    times.interrupt()
    with observed(Stage.DELETE_COMPUTE):
        pass
    assert times.stopped_at == Stage.SUBMIT


def test_a_run_interrupted_while_others_work_for_it_stopped_there(times: StageTimes) -> None:
    with observed(Stage.DEPLOY):  # in another thread, which goes on
        times.interrupt()
    with observed(Stage.DELETE):
        pass
    assert times.stopped_at == Stage.DEPLOY
