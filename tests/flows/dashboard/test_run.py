"""A run from Prefect's record, its report and its tasks; what is asked for, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from flows.dashboard.run import row_of, run_of
from flows.dashboard.selection import select
from flows.run import figures
from tasks.azure.failure import Cause
from tasks.core.stages import Stage, in_order, stage_of
from tasks.delete import Deletion
from tests.support.failures import fails
from tests.support.seeding import parameters_of, report_of
from tests.support.synthetic import NOW, runs

BEGUN = datetime(2026, 11, 2, 6, tzinfo=UTC)
NIGHTLY = {"recipe": "nightly", "base": {"name": "Phi-4"}}


def _record(state: Any, **values: Any) -> FlowRun:
    known = {"flow_id": uuid4(), "parameters": NIGHTLY, "start_time": BEGUN, "state": state}
    return FlowRun(**{**known, "state_type": state.type, **values})


def _task(name: str, after: float, state: Any) -> TaskRun:
    return TaskRun(
        name=name,
        task_key=name,
        dynamic_key="0",
        flow_run_id=uuid4(),
        start_time=BEGUN + timedelta(seconds=after),
        total_run_time=timedelta(seconds=7),
        state=state,
    )


def test_a_run_that_has_reported_says_all_of_it() -> None:
    made = next(run for run in runs(50) if run.state == "completed")
    row = report_of(made).model_dump(mode="json")
    times = {"start_time": made.when, "end_time": made.ended}
    known = {"id": made.id, "name": made.name, "parameters": parameters_of(made), **times}
    assert run_of(_record(Completed(message=made.message), **known), row, []) == made


def test_a_run_that_crashed_is_told_by_its_tasks() -> None:
    tasks = [
        _task("train ft-123", 20, Running()),
        _task("data: ultrachat", 1, Completed()),
        _task("sign in", 0, Completed()),
    ]
    run = run_of(_record(Crashed(message="The process was killed.")), None, tasks)
    assert (run.state, run.failed_stage, run.cause) == ("crashed", "train", "crashed")
    assert run.seconds_by_stage == {"train": 7, "data": 7, "sign in": 7}
    assert (run.recipe, run.model, run.when, run.trigger) == ("nightly", "Phi-4", BEGUN, "ad hoc")
    assert (run.cost_usd, run.eval_loss, run.endpoint) == (None, None, None)


def test_a_run_whose_parameters_are_anything_is_still_a_run() -> None:
    run = run_of(
        _record(Failed(message="Validation failed"), parameters={"recipe": 7, "base": "?"}), None, []
    )
    assert (run.recipe, run.model, run.cause) == ("custom", "unknown", Cause.CONFIGURATION)


def test_a_run_of_an_earlier_version_has_its_recipe_and_its_model() -> None:
    run = run_of(_record(Completed(), parameters={"config": NIGHTLY}), None, [])
    assert (run.recipe, run.model) == ("nightly", "Phi-4")


def test_a_report_of_another_version_leaves_what_prefect_knows() -> None:
    run = run_of(_record(Completed()), {"run": "1", "outcome": "splendid"}, [])
    assert (run.state, run.recipe, run.eval_loss) == ("completed", "nightly", None)


def test_a_run_that_was_retried_does_not_keep_the_failure_of_its_first_attempt() -> None:
    failed = next(run for run in runs(100) if run.failed_stage)
    run = run_of(_record(Running()), report_of(failed).model_dump(mode="json"), [])
    assert (run.state, run.failed_stage, run.failure, run.cause) == ("running", None, None, None)


def test_a_secret_in_a_states_message_is_not_passed_on() -> None:
    run = run_of(_record(Failed(message="GET https://x/y?sv=1&sig=abcdef&se=2 refused")), None, [])
    assert "abcdef" not in run.message
    assert "refused" in run.message


def test_every_stage_of_the_flow_has_its_place_and_is_known_by_its_task_runs() -> None:
    from prefect import Task

    from flows import finetune

    names = {task.name for task in vars(finetune).values() if isinstance(task, Task)}
    assert "train" in names
    assert names <= set(Stage)
    assert in_order(names) == [stage for stage in Stage if stage in names]
    for run, stage in (("deploy tuned", "deploy"), ("deploy check", "deploy check"), ("data: hub", "data")):
        assert stage_of(run) == stage


@pytest.mark.parametrize("data", [None, "[]", [], '{"a": 1}', "[1]", "null"])
def test_an_artifact_without_a_row_is_no_report(data: Any) -> None:
    assert row_of(data) is None


@pytest.mark.parametrize(
    ("deletion", "serves"),
    [
        ({"state": "kept"}, True),
        ({"state": "kept", "until": NOW + timedelta(hours=1)}, True),
        ({"state": "kept", "until": NOW - timedelta(hours=1)}, False),
        ({"state": "deleted"}, False),
        ({"state": "released", "owner": "another"}, False),
        (None, False),
    ],
)
def test_an_endpoint_lives_as_long_as_its_lease(deletion: dict[str, Any] | None, serves: bool) -> None:
    ended = Deletion.model_validate({"endpoint": "e", "at": NOW, **deletion}) if deletion else None
    run = runs(1)[0].model_copy(update={"deletion": ended})
    assert run.serves(NOW) is serves


def _reported(**fields: Any) -> dict[str, Any]:
    """The row of a run that did not succeed, as the artifact holds it."""
    failed = next(run for run in runs(100) if run.failed_stage)
    return report_of(failed).model_dump(mode="json") | fields


@pytest.mark.parametrize("cause", Cause)
def test_a_failed_run_has_the_cause_that_it_reported(cause: Cause) -> None:
    assert run_of(_record(Failed()), _reported(cause=cause.value), []).cause is cause


@pytest.mark.parametrize(
    ("state", "reported", "cause"),
    [
        (Cancelled(), None, Cause.CANCELLED),
        (Cancelled(), {"outcome": "cancelled", "cause": "cancelled"}, Cause.CANCELLED),
        (Cancelled(), {"outcome": "failed", "cause": "data"}, Cause.CANCELLED),
        (Cancelled(), {"outcome": "cancelled", "cause": "budget"}, Cause.BUDGET),
        (Crashed(), None, Cause.CRASHED),
        (Crashed(), {"outcome": "cancelled", "cause": "cancelled"}, Cause.CRASHED),
        (Crashed(), {"outcome": "cancelled", "cause": "timed out"}, Cause.TIMED_OUT),
        (Crashed(message="The budget of $20 is spent"), None, Cause.CRASHED),
        (Completed(), {"outcome": "completed"}, None),
    ],
)
def test_a_run_that_was_stopped_has_the_cause_of_its_state_unless_it_had_reached_a_limit(
    state: Any, reported: dict[str, Any] | None, cause: Cause | None
) -> None:
    row = _reported(**reported) if reported else None
    assert run_of(_record(state), row, []).cause is cause


def test_reports_of_other_versions_are_read_without_their_cause() -> None:
    old = _reported(over_budget=False)
    del old["cause"]
    for row in (old, _reported(cause="moon phase"), {"outcome": "splendid"}):
        run = run_of(_record(Failed(message="The quota is out of memory")), row, [])
        assert run.cause is Cause.OTHER
    assert run_of(_record(Failed()), old, []).eval_loss == old["eval_loss"]


def test_a_run_that_failed_at_a_stage_and_left_no_report_has_no_known_cause() -> None:
    assert run_of(_record(Failed()), None, [_task("data", 1, Failed())]).cause is Cause.OTHER


def test_filters_take_what_they_name() -> None:
    history = runs(2000)
    some = select(["failed,crashed", "cancelled"], recipe="LOCAL", model="smollm", since="2026-03-01")
    found = [run for run in history if some.takes(run)]
    assert found
    assert {run.state for run in found} == {"failed", "crashed", "cancelled"}
    assert {run.recipe for run in found} == {"local"}
    assert min(run.when for run in found) >= datetime(2026, 3, 1, tzinfo=UTC)
    assert len(found) < len([run for run in history if run.recipe == "local" and run.unsuccessful])


def test_since_is_a_date_or_a_duration() -> None:
    now = datetime.now(UTC)
    for text, ago in (("36h", timedelta(hours=36)), ("14d", timedelta(14)), ("8w", timedelta(weeks=8))):
        since = select(since=text).since
        assert since is not None
        assert abs(now - ago - since) < timedelta(minutes=1)
    assert select(since="2026-03-01T12:00+01:00").since == datetime(2026, 3, 1, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"states": ["done"]}, ("state 'done'", "completed, failed")),
        ({"since": "yesterday"}, ("'yesterday'", "2026-03-01", "36h")),
        ({"since": "2026-13-01"}, ("'2026-13-01'",)),
        ({"limit": 0}, ("--limit", "at least 1")),
    ],
)
def test_a_wrong_filter_is_one_line(asked: dict[str, Any], line: tuple[str, ...]) -> None:
    with fails(Cause.CONFIGURATION, *line):
        select(**asked)


def test_a_recipe_that_no_run_has_is_answered_with_those_there_are() -> None:
    with fails(Cause.CONFIGURATION, "recipe 'lokal'", "llama-2-weekly, local"):
        select(recipe="lokal").check(runs(200))
    select(recipe="lokal").check([])  # of no runs none is wrong


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0.0 s"),
        (9.96, "10 s"),
        (59.6, "1 min"),
        (61, "1 min 01 s"),
        (3599.7, "1 h"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "$0"), (0.0031, "$0.0031"), (1.2, "$1.20"), (89215.02, "$89,215")],
)
def test_dollars_read_well(value: float | None, text: str) -> None:
    assert figures.dollars(value) == text
