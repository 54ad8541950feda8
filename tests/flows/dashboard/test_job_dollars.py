"""A job's dollars in the history: of runs that shared it together one counts them, whoever says what."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flows.dashboard.job_dollars import once
from flows.dashboard.run import RunRecord
from flows.run.spent import JobCost
from tests.support.synthetic import NOW, runs

WHOLE = 3.0
(SOME,) = runs(1)


def run(name: str, ended: float | None, holder: str, counted: float | None, **cost: str) -> RunRecord:
    """A run that ended so many minutes ago, with what it counts of the job; None for one without a report."""
    job = {"workspace": "w", "name": "j", "run": holder, "dollars": WHOLE, **cost}
    change = {
        "id": name,
        "ended": None if ended is None else NOW - timedelta(minutes=ended),
        "jobs": () if counted is None else (JobCost.model_validate({**job, "counted": counted}),),
        "training_usd": counted,
        "serving_usd": 0.5,
        "cost_usd": None if counted is None else counted + 0.5,
    }
    return SOME.model_copy(update=change)


@pytest.mark.parametrize(
    ("found", "counted"),
    [
        pytest.param([run("a", 9, "a", WHOLE), run("b", 5, "a", 0)], [WHOLE, 0], id="two runs, which share"),
        pytest.param([run("a", 9, "a", 1), run("b", 5, "a", 2)], [1, 2], id="lost, and taken over"),
        pytest.param([run("a", 9, "a", WHOLE), run("b", 5, "a", 2)], [1, 2], id="and the watcher books all"),
        pytest.param([run("a", None, "a", None), run("b", 5, "a", 0)], [None, WHOLE], id="killed"),
        pytest.param([run("a", 9, "a", 1), run("b", 5, "a", 0)], [1, 2], id="killed, reported in part"),
        pytest.param([run("b", 5, "a", 0)], [0], id="reported elsewhere"),
        pytest.param(
            [run("a", None, "a", None), run("b", 5, "a", 1), run("c", 3, "a", 2.5)],
            [None, 0.5, 2.5],
            id="taken over twice",
        ),
        pytest.param(
            [run("a", 9, "a", WHOLE), run("b", 5, "b", WHOLE, workspace="another")],
            [WHOLE, WHOLE],
            id="in two workspaces",
        ),
        pytest.param([run("a", 1, "a", WHOLE), run("b", 5, "a", 2)], [WHOLE, 0], id="lost, and back again"),
    ],
)
def test_a_job_is_counted_once(found: list[RunRecord], counted: list[float | None]) -> None:
    seen = once(found)
    assert [each.id for each in seen] == [each.id for each in found]
    assert [each.training_usd for each in seen] == counted
    assert [each.cost_usd for each in seen] == [None if each is None else each + 0.5 for each in counted]


def test_runs_of_a_version_that_kept_no_jobs_stay_as_they_are() -> None:
    found = runs(20)
    assert once(found) == found


def test_the_job_of_a_sweep_that_was_killed_is_counted_by_the_run_that_took_it_over() -> None:
    """Its runs report nothing, and their jobs are held by the sweep, which is no run of the history."""
    found = [run("b", 5, "sweep", 0)]
    assert [each.training_usd for each in once(found, ["sweep"])] == [WHOLE]
    assert [each.training_usd for each in once(found)] == [0]
    reported = [run("trial", 9, "sweep", WHOLE), *found]
    assert [each.training_usd for each in once(reported, ["sweep"])] == [WHOLE, 0]
