"""Runs of a process worker that are killed, cancelled or suspended in the middle of the training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.states import Cancelling

from flows.run.config import Finetune
from flows.run.report import RunReport
from tasks.azure.listing import Listed
from tasks.core.reuse import Reused
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.deployed import Deployed, deployed
from tests.support.waiting import until

pytestmark = pytest.mark.slow

CLUSTER = ("compute.name=resilient", "compute.max_nodes=3")


@pytest.fixture(scope="module")
def runs(server: LocalServer, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("resilience"), server.state) as made:
        yield made


@pytest.fixture
def unlike(config: MakeConfig) -> Callable[..., Finetune]:
    """Makes configurations whose training takes that many seconds, and that no other test has trained."""

    def make(seconds: float, *changes: str) -> Finetune:
        # The length is part of the fingerprint, and so tells the tests' trainings apart.
        length = seconds + uuid4().int % 10**6 / 10**7
        return config(f"parameters.more.seconds={length}", *CLUSTER, *changes)

    return make


def jobs_of(run: UUID | str) -> list[Listed]:
    return [job for job in ours.jobs() if job.tags["finetune.run"] == str(run)]


def training_of(run: UUID) -> Any:
    """The job of the run, once it runs."""

    def running() -> Any:
        return next((job for job in jobs_of(run) if job.state == "Running"), None)

    return until(running, "the job does not run")


def report_of(runs: Deployed, run: UUID) -> RunReport:
    with runs.prefect.client() as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
        found = client.read_artifacts(artifact_filter=of_run)
    table = next(each.data for each in found if each.key == "finetune-run")
    (row,) = json.loads(table) if isinstance(table, str) else table  # type: ignore[misc]
    return RunReport.model_validate(row)


def assert_nothing_is_left(ml_client: Any, server: LocalServer, *names: UUID) -> None:
    ours = {str(name) for name in names}
    assert not [
        each.name for each in ml_client.online_endpoints.list() if each.tags.get("finetune.run") in ours
    ]
    billed = [row for row in server.admin("ledger")["rows"] if row["running"]]
    assert not billed


def test_a_run_killed_while_it_trains_is_adopted_by_the_next(
    runs: Deployed, unlike: Callable[..., Finetune], ml_client: Any, server: LocalServer, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    wanted = unlike(1800, f"parameters.more.until={end}")
    killed = runs.run("finetune", wanted)
    job = training_of(killed)
    runs.prefect.runs()[killed].kill()
    runs.becomes(killed, "Crashed")
    assert ml_client.jobs.get(job.name).status == "Running"
    end.touch()

    second = runs.run("finetune", wanted)
    runs.becomes(second, "Completed")
    report = report_of(runs, second)
    assert report.job == job.name
    assert Reused(kind="job", name=job.name, run=str(killed)) in report.reused
    # The killed run has left no report: nobody else counts its dollars.
    (taken,) = report.jobs
    assert (taken.name, taken.run, taken.counted) == (job.name, str(killed), taken.dollars)
    assert report.training_usd > 0
    assert report.training_usd == pytest.approx(taken.counted, abs=1e-6)  # rounded
    assert [each.name for each in jobs_of(killed)] == [job.name]
    assert not jobs_of(second)
    assert_nothing_is_left(ml_client, server, killed, second)


def test_cancelling_through_the_api_cancels_the_job(
    runs: Deployed, unlike: Callable[..., Finetune], ml_client: Any, server: LocalServer
) -> None:
    run = runs.run("finetune", unlike(120))
    job = training_of(run)
    with runs.prefect.client() as client:
        client.set_flow_run_state(run, Cancelling())
    runs.becomes(run, "Cancelled")
    until(lambda: ml_client.jobs.get(job.name).status == "Canceled", "the job is not cancelled")
    until(lambda: not runs.prefect.runs(), "the run's process has not ended")
    with runs.prefect.client() as client:  # a crash on the way would have it started again by an automation
        assert "Crashed" not in [state.name for state in client.read_flow_run_states(run)]
    assert_nothing_is_left(ml_client, server, run)
    report = report_of(runs, run)
    assert (report.outcome, report.failed_stage) == ("cancelled", "train")
    assert report.failure is not None
    assert report.failure.startswith(f"job {job.name} cancelled; ")
    # Prefect's own message comes first, and is replaced.
    until(lambda: message_of(runs, run) == f"Cancelled at train: {report.failure}", "not told")
    assert states_of_tasks(runs, run)[f"train {job.name}"] == "Cancelled"


def message_of(runs: Deployed, run: UUID) -> str | None:
    state = runs.read(run).state
    return state.message if state else None


def states_of_tasks(runs: Deployed, run: UUID) -> dict[str, str | None]:
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    with runs.prefect.client() as client:
        return {task.name: task.state_name for task in client.read_task_runs(flow_run_filter=of_run)}


def test_suspended_runs_hold_no_process_until_the_watcher_resumes_them(
    runs: Deployed, unlike: Callable[..., Finetune], ml_client: Any, server: LocalServer, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    short = runs.run("finetune", unlike(1800, "wait.mode=suspend", f"parameters.more.until={end}"))
    long = runs.run("finetune", unlike(1800, "wait.mode=suspend"))
    for run in (short, long):
        runs.becomes(run, "Suspended")
        until(partial(says, runs, run, "Waits for job"), "a suspended run does not say what it waits for")
    until(lambda: not runs.prefect.runs(), "the suspended runs' processes have not ended")

    (cancelled,) = jobs_of(long)
    with runs.prefect.client() as client:
        client.set_flow_run_state(long, Cancelling())
    assert runs.read(long).state_name == "Cancelled"
    end.touch()
    (job,) = jobs_of(short)
    until(lambda: ml_client.jobs.get(job.name).status == "Completed", "no end")

    runs.becomes(runs.run("watch"), "Completed")
    until(lambda: ml_client.jobs.get(cancelled.name).status == "Canceled", "the job is not cancelled")
    assert "released" in runs.read(long).tags
    runs.becomes(short, "Completed")
    report = report_of(runs, short)
    assert [each.name for each in jobs_of(short)] == [report.job]
    assert report.reused == ()
    assert_nothing_is_left(ml_client, server, short, long)


def says(runs: Deployed, run: UUID, words: str) -> bool:
    """Whether these words are in the message of the run's state."""
    state = runs.read(run).state
    return state is not None and words in (state.message or "")
