"""Where a job's time went: seconds by phase."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.azure.run_history import Step
from tasks.job import durations

BEGAN = datetime(2026, 11, 23, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGAN + timedelta(seconds=seconds)


def step(began: float | None, ended: float | None) -> Step:
    return Step(
        id="import",
        name="import",
        status="Completed" if ended is not None else "Running",
        started=None if began is None else at(began),
        ended=None if ended is None else at(ended),
    )


@pytest.mark.parametrize(
    ("spans", "running"),
    [
        ([], 0),
        ([(10, 40)], 30),
        ([(10, 40), (50, 60)], 40),
        ([(10, 40), (20, 50)], 40),  # side by side: counted once
        ([(10, 40), (15, 20)], 30),  # within another
        ([(50, 60), (10, 40)], 40),  # in whatever order
    ],
)
def test_time_counts_once_however_steps_overlap(spans: list[tuple[float, float]], running: float) -> None:
    found = durations.elapsed(BEGAN, [step(*span) for span in spans], 0, at(100))
    assert found.running == running
    assert found.queued == 100 - running


@pytest.mark.parametrize(("seen", "provisioning"), [(0, 0), (25, 25), (500, 70)])
def test_provisioning_is_a_part_of_the_time_waited(seen: float, provisioning: float) -> None:
    found = durations.elapsed(BEGAN, [step(70, 100)], seen, at(100))
    assert (found.provisioning, found.queued) == (provisioning, 70 - provisioning)


def test_a_job_without_a_creation_time_begins_with_its_first_step() -> None:
    assert durations.elapsed(None, [step(30, 40), step(20, 25)], 0, at(50)).model_dump() == {
        "queued": 15,
        "provisioning": 0,
        "running": 15,
    }


def test_a_creation_time_without_a_zone_is_utc() -> None:
    assert durations.elapsed(BEGAN.replace(tzinfo=None), [], 0, at(60)).queued == 60


def test_the_last_step_ends_the_job() -> None:
    assert durations.ended([step(0, 10), step(5, 30), step(8, None)]) == at(30)
    assert durations.ended([step(0, None)]) is None
