"""Runs of a process worker in the middle of the training: killed, cancelled, suspended, left alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.states import Cancelling, Completed

from flows.operations.healing import heal
from flows.run.config import Finetune
from flows.run.report import RunReport
from tasks.azure.listing import Listed
from tasks.core.reuse import Reused
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.deployed import Deployed, deployed
from tests.support.deployed_runs import training
from tests.support.past_runs import PastRuns
from tests.support.prefect_server import working
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

CLUSTER = ("compute.name=resilient", "compute.max_nodes=3")


@pytest.fixture(scope="module")
def deployments(
    server: LocalServer, tiny: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    with deployed(tmp_path_factory.mktemp("resilience"), server.state) as made:
        yield made


@pytest.fixture
def runs(deployments: Deployed) -> Iterator[Deployed]:
    """The deployments with a worker, also after a test that has killed theirs."""
    if deployments.worker.poll() is None:
        yield deployments
        return
    with working(deployments.prefect) as worker:
        yield replace(deployments, worker=worker)


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


def test_a_suspended_run_holds_no_process_until_the_watcher_resumes_it(
    runs: Deployed, unlike: Callable[..., Finetune], ml_client: Any, server: LocalServer, tmp_path: Path
) -> None:
    end = tmp_path / "end"
    run = runs.run("finetune", unlike(1800, "wait.mode=suspend", f"parameters.more.until={end}"))
    runs.becomes(run, "Suspended")
    until(lambda: "Waits for job" in (message_of(runs, run) or ""), "it does not say what it waits for")
    until(lambda: not runs.prefect.runs(), "the suspended run's process has not ended")

    end.touch()
    (job,) = jobs_of(run)
    until(lambda: ml_client.jobs.get(job.name).status == "Completed", "no end")
    runs.becomes(runs.run("watch"), "Completed")
    runs.becomes(run, "Completed")
    report = report_of(runs, run)
    assert [each.name for each in jobs_of(run)] == [report.job]
    assert report.reused == ()
    assert_nothing_is_left(ml_client, server, run)


def test_a_lost_run_is_adopted_by_two_of_which_one_outlasts_its_worker_and_one_goes_on_with_the_next(
    runs: Deployed, unlike: Callable[..., Finetune], ml_client: Any, server: LocalServer, tmp_path: Path
) -> None:
    """One training for a run that is killed and for two that begin at once; the server is started again."""
    end = tmp_path / "end"
    wanted = unlike(1800, f"parameters.more.until={end}", "compute.name=adopted", "compute.keep=false")
    killed = runs.run("finetune", wanted)
    job = training_of(killed)
    runs.prefect.runs()[killed].kill()
    runs.becomes(killed, "Crashed")
    assert ml_client.jobs.get(job.name).status == "Running"

    living, lost = both = [runs.run("finetune", wanted) for _ in range(2)]
    until(lambda: all(training(runs.prefect, run) for run in both), "the runs are not training")
    runs.worker.kill()  # the living run's next line meets a pipe without a reader
    runs.worker.wait()
    kill_with_children(runs.prefect.runs()[lost])
    runs.prefect.stop()
    runs.prefect.start()
    end.touch()
    assert runs.becomes(living, "Completed").run_count == 1

    assert runs.read(lost).state_name == "Running"  # nobody has noticed yet
    with runs.prefect.client() as client:
        client.delete_flow_run(killed)  # or a look at who is lost would have it go on
    with working(runs.prefect):
        with runs.prefect.client() as client:
            PastRuns(client).alone("watch", Completed())  # whoever looks for the first time heals nobody
            healed = heal(client, timedelta(minutes=10), datetime.now(UTC) + timedelta(hours=1))
        assert healed.lost == healed.rescheduled == (runs.read(lost).name,)
        done = until(lambda: found if (found := runs.read(lost)).run_count == 2 else None, "it stays lost")
        assert runs.becomes(done.id, "Completed").run_count == 2
    assert_one_training(runs, job.name, killed, both)
    assert_nothing_is_left(ml_client, server, killed, *both)
    assert "adopted" not in [compute.name for compute in ml_client.compute.list()]


def assert_one_training(runs: Deployed, job: str, killed: UUID, both: list[UUID]) -> None:
    """The killed run's job is the only one, and its dollars are with those of who went on with it."""
    reports = [report_of(runs, run) for run in both]
    assert {report.job for report in reports} == {job}
    assert len({(report.model, report.model_version) for report in reports}) == 1
    assert all(report.answer for report in reports)
    assert any(Reused(kind="job", name=job, run=str(killed)) in report.reused for report in reports)
    # The killed run has left no report: its dollars are counted with those of who goes on.
    counted = [(report, taken) for report in reports for taken in report.jobs if taken.counted]
    assert {(taken.name, taken.run) for _, taken in counted} == {(job, str(killed))}
    for report, taken in counted:
        assert taken.counted == taken.dollars
        assert report.training_usd == pytest.approx(taken.counted, abs=1e-6)  # rounded
    assert [each.name for each in jobs_of(killed)] == [job]
    assert [each for run in both for each in jobs_of(run)] == []


def kill_with_children(process: psutil.Process) -> None:
    """SIGKILL to a run's process and those that it has started, as when the machine is lost."""
    lost = [process, *process.children(recursive=True)]
    for each in lost:
        each.kill()
    psutil.wait_procs(lost, timeout=PATIENCE)
