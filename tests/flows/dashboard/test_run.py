"""A run from Prefect's record, its report and its tasks; what is asked for, and what it is called."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.states import Completed, Crashed, Failed, Running

from flows.dashboard.run import row_of, run_of
from flows.dashboard.selection import select
from flows.run import figures
from flows.run.cause import cause_of
from tasks.azure.failure import Failure
from tasks.core.stages import Stage, in_order, stage_of
from tasks.delete import Deletion
from tests.support.seeding import report_of
from tests.support.synthetic import NOW, runs

BEGUN = datetime(2026, 11, 2, 6, tzinfo=UTC)
CONFIG = {"config": {"recipe": "nightly", "base": {"name": "Phi-4"}}}


def _record(state: Any, **values: Any) -> FlowRun:
    known = {"flow_id": uuid4(), "parameters": CONFIG, "start_time": BEGUN, "state": state}
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
    record = _record(Completed(message=made.message), id=made.id, name=made.name, **times)
    assert run_of(record, row, []) == made


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
    run = run_of(_record(Failed(message="Validation failed"), parameters={"config": "?"}), None, [])
    assert (run.recipe, run.model, run.cause) == ("custom", "unknown", "wrong parameters")


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


@pytest.mark.parametrize(
    ("state", "text", "cause"),
    [
        ("failed", "The budget of $20 is spent ($20.11): the job j is cancelled.", "budget reached"),
        ("failed", "The job j took longer than 24 h. A job that stays queued waits for quota", "timed out"),
        ("failed", "The subscription's quota does not leave room for this.", "quota"),
        ("failed", "The endpoint's name is taken: names are unique within a region.", "endpoint name taken"),
        ("failed", "The step finetune of the job j failed: CUDA out of memory", "out of memory"),
        ("failed", "The step finetune of the job j failed: see its log below", "job failed"),
        ("failed", "Phi-4 cannot be fine-tuned on STANDARD_NC6.", "compute"),
        ("failed", "Something nobody has thought of", "other"),
        ("crashed", "The cluster is on fire", "crashed"),
        ("cancelled", "", "cancelled"),
        ("cancelled", "The budget of $20 is spent", "budget reached"),
    ],
)
def test_a_failure_has_a_cause_of_a_word_or_two(state: str, text: str, cause: str) -> None:
    assert cause_of(state, text) == cause


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
        ({"states": ["done"]}, "There is no state 'done'. Choose from: completed, failed"),
        ({"since": "yesterday"}, "'yesterday' is no date and no duration. Write 2026-03-01, or 36h"),
        ({"since": "2026-13-01"}, "'2026-13-01' is no date and no duration"),
        ({"limit": 0}, "A limit of 0 leaves no run. Ask for 1 or more."),
    ],
)
def test_a_wrong_filter_is_one_line(asked: dict[str, Any], line: str) -> None:
    with pytest.raises(Failure) as failure:
        select(**asked)
    assert str(failure.value).startswith(line)
    assert "\n" not in str(failure.value)


def test_a_recipe_that_no_run_has_is_answered_with_those_there_are() -> None:
    with pytest.raises(Failure, match=r"No run is of the recipe 'lokal'\. There are: llama-2-weekly, local"):
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
