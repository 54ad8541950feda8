"""The dollars that a run reports are those of the workspace's ledger, however the run ends.

Steps and deployments last half an hour of the workspace's clock, which the tests move.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.states import AwaitingRetry

from azureml_local import switch
from flows.dashboard import reader
from flows.dashboard.selection import Selection
from flows.run import parameters
from flows.run.config import Finetune
from flows.run.earlier import report_lost, spent_by
from flows.run.report import RunReport
from flows.sweep import sweep
from flows.trials.grid import Trial, Try
from flows.trials.watching import watched
from tasks import spending
from tasks.azure import clients
from tasks.azure.failure import Cause
from tasks.core.stage import StageEvent, StageState, observing
from tasks.core.stages import Stage
from tasks.sign_in import Workspace as SignIn
from tasks.sign_in import sign_in
from tests.conftest import know_the_cloud, poll_often
from tests.flows.reports import report_of
from tests.support import tiny_model
from tests.support.own_workspace import Workspace
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import RECIPE, UNSERVED, tiny_config

pytestmark = pytest.mark.slow

STEP = 1500.0  # seconds
LATER = 1000.0  # seconds; every idle node is given up by then
Act = Callable[[], None]
Run = Callable[..., RunReport]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose clock these tests move."""
    state = tmp_path_factory.mktemp("books")
    with switch.joined(state) as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        know_the_cloud(variables["AZUREML_CURRENT_CLOUD"])
        poll_often(patch)
        tiny_model.install(tmp_path_factory.mktemp("base") / "model")
        yield Workspace(state, variables["AZUREML_LOCAL_URL"])


@pytest.fixture
def books(own: Workspace) -> Workspace:
    """It, for clients with tokens of their own: those of earlier tests have expired with the clock."""
    from mlflow.tracking._tracking_service.registry import TrackingStoreRegistry

    clients.forget()
    TrackingStoreRegistry._get_store_with_resolved_uri.cache_clear()  # it keeps an address' credentials
    return own


@pytest.fixture
def cluster(books: Workspace) -> str:
    return f"money-{uuid4().hex[:8]}"


@pytest.fixture
def config(cluster: str, tmp_path: Path) -> Callable[..., Finetune]:
    """The tiny recipe on a cluster of the test's own, with inputs unlike any other's."""
    inputs = ("parameters.more.seconds=1800", f"parameters.more.until={tmp_path / 'end'}")
    own = (f"compute.name={cluster}", "compute.keep=false", "compute.idle_seconds=300", *inputs)
    return lambda *changes: tiny_config(tmp_path / "data", *own, *changes)


@pytest.fixture
def time_passes(books: Workspace, tmp_path: Path) -> Act:
    """Lets the workspace's clock go on while a step runs, and the step end."""

    def act() -> None:
        books.admin("clock", {"seconds": STEP})
        (tmp_path / "end").touch()

    return act


class Once:
    """Acts when the training step is first seen to run, when the model is asked, and as the cluster goes."""

    def __init__(self, *, trains: Act, asked: Act = lambda: None, releases: Act = lambda: None) -> None:
        self._acts = {Stage.TRAIN: trains, Stage.INVOKE: asked, Stage.DELETE_COMPUTE: releases}

    def __call__(self, event: StageEvent) -> None:
        is_on = event.stage is not Stage.TRAIN or ": Running" in event.detail
        if event.state is StageState.RUNNING and is_on and (act := self._acts.pop(event.stage, None)):
            act()


def run(prefect: PrefectServer, config: Finetune, watch: Once, run_id: UUID | None = None) -> RunReport:
    """The report of a run, however it ends; of that flow run's next process, where one is named."""
    from prefect.flow_engine import run_flow

    from flows.finetune import finetune

    with prefect.client() as client:
        if run_id is None:
            run_id = client.create_flow_run(finetune, parameters=parameters.of(config)).id
        else:
            client.set_flow_run_state(run_id, AwaitingRetry(), force=True)
        found = client.read_flow_run(run_id)
    with observing(watch), suppress(KeyboardInterrupt, SystemExit):
        run_flow(finetune, flow_run=found, parameters={"recipe": config}, return_type="state")
    return report_of(str(run_id))


def billed(books: Workspace, kind: str, name: str) -> float:
    """What the ledger says of a cluster's nodes, or of the deployments of an endpoint; up to now."""
    rows = books.admin("ledger")["rows"]
    of_it = [row for row in rows if row["kind"] == kind and row["name"].partition("/")[0] == name]
    return float(sum(row["dollars"] for row in of_it))


@pytest.mark.parametrize("keep", ["true", "false"])
def test_of_a_completed_run(
    prefect_server: PrefectServer,
    books: Workspace,
    config: Any,
    cluster: str,
    time_passes: Act,
    keep: str,
) -> None:
    def serves() -> None:  # a cluster that is not kept is released before its nodes are given up
        books.admin("clock", {"seconds": STEP if keep == "true" else 30.0})

    def refuses() -> None:  # the token of the first look at the cluster after its deletion was asked for
        path = f"/**/computes/{cluster}"
        books.let_fail({"kind": "expired-token", "method": "GET", "path": path, "nth": 4})

    watch = Once(trains=time_passes, asked=serves, releases=refuses)
    report = run(prefect_server, config(f"compute.keep={keep}"), watch)
    is_hit = any(rule["hit"] for rule in books.admin("faults")["faults"])
    assert is_hit == (keep == "false")
    assert report.outcome == "completed", report.failure
    books.admin("clock", {"seconds": LATER})
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert report.training_usd > 0.2
    assert report.endpoint is not None
    assert report.serving_usd == pytest.approx(billed(books, "deployment", report.endpoint), rel=0.02)
    assert report.cost_usd == pytest.approx(report.training_usd + report.serving_usd, abs=1e-6)
    assert not report.cost_is_least


def test_of_a_run_whose_step_fails(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str, time_passes: Act
) -> None:
    changes = ("parameters.training.learning_rate=2", "compute.keep=true")
    report = run(prefect_server, config(*changes), Once(trains=time_passes))
    assert (report.outcome, report.cause) == ("failed", Cause.JOB), report.failure
    books.admin("clock", {"seconds": LATER})
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert report.training_usd > 0.2


def test_of_a_run_whose_deployment_fails(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str, time_passes: Act
) -> None:
    def somebody_deletes() -> None:
        tiny_model.workspace_client().compute.begin_delete(cluster).wait()

    books.let_fail({"kind": "crash", "path": "/onlineEndpoints/*/deployments/demo", "count": None})
    try:
        report = run(prefect_server, config(), Once(trains=time_passes, releases=somebody_deletes))
    finally:
        books.let_fail()
    assert (report.outcome, report.failed_stage) == ("failed", "deploy"), report.failure
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert report.deletion is not None
    seconds = 5 * 0.53 / 3600  # of the deployment's price: it was up for no longer than that
    assert report.serving_usd == pytest.approx(
        billed(books, "deployment", report.deletion.endpoint), rel=0.02, abs=seconds
    )


@pytest.mark.parametrize("keep", ["true", "false"])
def test_of_a_run_that_a_person_cancels(
    prefect_server: PrefectServer,
    books: Workspace,
    config: Any,
    cluster: str,
    keep: str,
) -> None:
    def cancels() -> None:
        books.admin("clock", {"seconds": STEP})
        raise KeyboardInterrupt

    report = run(prefect_server, config(f"compute.keep={keep}"), Once(trains=cancels))
    assert report.outcome == "cancelled"
    books.admin("clock", {"seconds": LATER})
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert report.training_usd > 0.2


def test_of_a_run_whose_budget_is_spent(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str
) -> None:
    def goes_on() -> None:
        books.admin("clock", {"seconds": STEP})

    report = run(prefect_server, config("wait.budget_usd=0.2"), Once(trains=goes_on))
    assert report.cause is Cause.BUDGET, report.failure
    assert report.failed_stage == "train"
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert report.training_usd > 0.2


def test_of_a_run_that_crashes_and_goes_on(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str, time_passes: Act
) -> None:
    def crashes() -> None:
        books.admin("clock", {"seconds": STEP / 2})
        raise SystemExit(1)  # a signal would be sent on to this process

    settings = config(UNSERVED)
    crashed = run(prefect_server, settings, Once(trains=crashes))
    assert crashed.outcome == "crashed"
    assert crashed.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    healed = run(prefect_server, settings, Once(trains=time_passes), UUID(crashed.run))
    assert (healed.outcome, healed.run) == ("completed", crashed.run), healed.failure
    assert healed.job == crashed.job
    books.admin("clock", {"seconds": LATER})
    assert healed.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert healed.training_usd > 1.3 * crashed.training_usd


def test_of_a_killed_run_whose_job_another_takes_over(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str, time_passes: Act
) -> None:
    """Once, in the other's report and in the history: without a watcher, and after one has booked it all."""

    def is_killed() -> None:
        books.admin("clock", {"seconds": STEP / 2})
        raise SystemExit(1)

    settings = config(UNSERVED)
    killed = run(prefect_server, settings, Once(trains=is_killed))
    assert killed.training_usd > 0.1
    with prefect_server.client() as client:
        forget_report(client, killed.run)
        other = run(prefect_server, settings, Once(trains=time_passes))
        assert (other.outcome, other.job) == ("completed", killed.job), other.failure
        books.admin("clock", {"seconds": LATER})
        paid = billed(books, "node", cluster)
        assert other.training_usd == pytest.approx(paid, rel=0.02)
        assert in_history(killed.run, other.run) == pytest.approx(paid, rel=0.02)

        session = sign_in.fn(SignIn())
        spent = spent_by(session.workspace, killed.run, spending.of_run(session, killed.run))
        report_lost(client, client.read_flow_run(UUID(killed.run)), settings, spent)
    assert report_of(killed.run).training_usd == pytest.approx(paid, rel=0.1)  # its boot was not seen
    assert in_history(killed.run, other.run) == pytest.approx(paid, rel=0.02)


def forget_report(client: SyncPrefectClient, run: str) -> None:
    """Leave the run as one is that was killed, which writes no report."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[UUID(run)]))
    for artifact in client.read_artifacts(artifact_filter=of_run):
        client.delete_artifact(artifact.id)


def in_history(*runs: str) -> float:
    """The dollars of training that the history has of those runs."""
    found = asyncio.run(reader.read(Selection()))
    return sum(each.training_usd or 0.0 for each in found if each.id in runs)


def test_of_every_attempt_of_a_run(
    prefect_server: PrefectServer, books: Workspace, config: Any, cluster: str, time_passes: Act
) -> None:
    """The first attempt is cancelled by somebody else, and the run that is started again makes a second."""

    def somebody_cancels() -> None:
        books.admin("clock", {"seconds": STEP})
        (job,) = (job for job in tiny_model.workspace_client().jobs.list() if cluster in str(job.tags))
        tiny_model.workspace_client().jobs.begin_cancel(job.name)

    settings = config("compute.keep=true", UNSERVED)
    failed = run(prefect_server, settings, Once(trains=somebody_cancels))
    assert (failed.outcome, failed.cause) == ("failed", Cause.CANCELLED), failed.failure
    again = run(prefect_server, settings, Once(trains=time_passes), UUID(failed.run))
    assert again.outcome == "completed", again.failure
    assert again.job != failed.job
    books.admin("clock", {"seconds": LATER})
    assert again.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert again.training_usd > 1.8 * failed.training_usd * 0.9


def test_of_the_runs_of_a_sweep(
    prefect_server: PrefectServer, books: Workspace, cluster: str, time_passes: Act, tmp_path: Path
) -> None:
    """Which take over each other's nodes: the time between two runs is paid for once."""
    passed: set[Stage] = set()

    def passes(trial: Trial, event: StageEvent) -> None:
        if event.state is not StageState.RUNNING or event.stage in passed:
            return
        if event.stage is Stage.TRAIN and ": Running" in event.detail:
            passed.add(event.stage)
            time_passes()
        elif event.stage is Stage.SUBMIT and trial.number == 2:
            passed.add(event.stage)
            books.admin("clock", {"seconds": 200.0})  # of the 300 for which a node is kept

    more = ("parameters.more.seconds=1800", f"parameters.more.until={tmp_path / 'end'}")
    own = (f"compute.name={cluster}", "compute.idle_seconds=300", f"data.directory={tmp_path / 'data'}")
    with watched(passes):
        state = sweep(
            recipe=str(RECIPE),
            tries=[Try(setting="parameters.training.learning_rate", values=("0.011", "0.012"))],
            changes=[*more, *own, "compute.keep=true", UNSERVED],
            return_state=True,
        )
    report = state.result()
    assert passed == {Stage.TRAIN, Stage.SUBMIT}
    books.admin("clock", {"seconds": LATER})
    assert report.training_usd == pytest.approx(billed(books, "node", cluster), rel=0.02)
    assert [report_of(str(each.run)).training_usd for each in report.tried] == [
        each.dollars for each in report.tried
    ]
