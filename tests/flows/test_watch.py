"""The watcher: what a run without a process has left in Azure is held to the run's limits, or released."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.dsl import pipeline
from azure.ai.ml.entities import AmlCompute, IdentityConfiguration
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from flows.dashboard import reader
from flows.dashboard.run import RunRecord
from flows.dashboard.selection import Selection
from flows.operations.healing import ATTEMPTS
from flows.run.config import Finetune, parse
from flows.run.parameters import of
from flows.watch import watch
from tasks.azure import run_history
from tasks.core.lease import Lease
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer
from tests.support.past_runs import PastRuns, past_runs
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import until

pytestmark = pytest.mark.slow

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
PLANNED = ["recipe: tiny"]

Train = Callable[[FlowRun], str]


@pytest.fixture
def past(prefect_server: PrefectServer, environment: dict[str, str]) -> Iterator[PastRuns]:
    with past_runs() as made:
        yield made


@pytest.fixture
def train(ml_client: Any, server: LocalServer) -> Iterator[Train]:
    """Submits a job that goes on for longer than any test, held by the run; gone after the test.

    By an owner: its step is no component that is there, as a run's is, and to make one takes a role.
    """
    cluster = f"cl-{uuid4().hex[:8]}"
    identity = IdentityConfiguration(type="system_assigned")  # the session's storage may take no keys
    wanted = AmlCompute(name=cluster, size="Standard_DS3_v2", max_instances=2, identity=identity)
    ml_client.compute.begin_create_or_update(wanted).wait()

    def put(run: FlowRun) -> str:
        tags = Lease.of_run(str(run.id), 2).priced(3600).tags()  # a dollar a second
        step = command(command="sleep 3000", environment=ENVIRONMENT, compute=cluster)

        @pipeline(name="training")  # type: ignore[untyped-decorator]
        def training() -> None:
            step()

        job = training()
        job.tags = tags
        with server.as_owner():
            return str(ml_client.jobs.create_or_update(job).name)

    yield put
    ml_client.compute.begin_delete(cluster).wait()


def config(**changes: Any) -> dict[str, Any]:
    """A whole configuration, as `prefect deploy` fills it in."""
    whole: Finetune = parse({"workspace": {"where": "local"}, **changes}, "tiny")
    return of(whole)


def run_of(
    past: PastRuns, state: State[Any], *, given: dict[str, Any] | None = None, **section: Any
) -> FlowRun:
    """A deployment's run that had its plan and is in that state; `given` are its own parameters."""
    owner = past.deploy("finetune", parameters=config(**section), enforce_parameter_schema=False)
    # One that has crashed often enough: until then it is scheduled again.
    before: list[Any] = [Running(), state] * (ATTEMPTS if state.is_crashed() else 1)
    return past.of(owner, *before, parameters=given or {}, tags=PLANNED)


def status(ml_client: Any, job: str) -> str:
    found: str = ml_client.jobs.get(job).status  # an enumeration whose members are texts
    return found


def test_a_run_cancelled_before_it_began_has_its_deployments_settings(
    past: PastRuns, train: Train, ml_client: Any
) -> None:
    """Its own parameters are a part only: taken for the whole, it would not be one that was suspended."""
    run = run_of(past, Cancelled(), given={"settings": {"fresh": True}}, wait={"mode": "suspend"})
    job = train(run)
    watching = watch()
    assert run.name in watching.released
    assert status(ml_client, job) in ("Canceled", "CancelRequested")
    assert "released" in past.read(run.id).tags
    assert run.name not in watch().released


@pytest.mark.parametrize(
    ("wait", "goes_on"),
    [
        ({"timeout_hours": 24}, True),
        ({"timeout_hours": 1e-9}, False),
    ],
)
@pytest.mark.parametrize("state", [Failed(), Crashed()], ids=["failed", "crashed"])
def test_a_job_that_nobody_waits_for_is_held_to_its_runs_limits(
    past: PastRuns, train: Train, ml_client: Any, wait: dict[str, Any], goes_on: bool, state: State[Any]
) -> None:
    run = run_of(past, state, wait=wait)
    job = train(run)
    until(lambda: status(ml_client, job) == "Running", "the job does not run")
    watching = watch()
    assert (run.name in watching.released) is not goes_on
    assert (status(ml_client, job) == "Running") is goes_on
    ml_client.jobs.begin_cancel(job).wait()
    ml_client.jobs.begin_cancel(job)
    until(lambda: status(ml_client, job) == "Canceled", "the job is not cancelled")
    watch()
    assert "released" in past.read(run.id).tags  # nothing of it lives, and it is not asked for again


def test_a_run_whose_parameters_cannot_be_read_keeps_no_other_from_being_watched(
    past: PastRuns, train: Train, ml_client: Any
) -> None:
    owner = past.deploy("finetune", enforce_parameter_schema=False)
    unreadable = {"settings": {"no": "such field"}}
    past.of(owner, Running(), Failed(), parameters=unreadable, tags=PLANNED)
    run = run_of(past, Cancelled(), wait={"mode": "suspend"})
    job = train(run)
    watch()
    assert status(ml_client, job) in ("Canceled", "CancelRequested")


def test_a_killed_runs_dollars_are_in_the_history_once_its_job_has_ended(
    past: PastRuns, train: Train, ml_client: Any
) -> None:
    """SIGKILL lets no run report; what it has spent is a dollar for each second of its job."""
    run = run_of(past, Crashed())
    job = train(run)
    until(lambda: status(ml_client, job) == "Running", "the job does not run")
    watch()
    assert history_of(run).cost_usd is None  # it goes on, for whoever runs the same again
    ml_client.jobs.begin_cancel(job).wait()
    until(lambda: status(ml_client, job) == "Canceled", "the job is not cancelled")
    watch()
    told = history_of(run)
    (step,) = run_history.steps(sign_in.fn(Workspace()), job)
    assert (told.state, told.job) == ("crashed", job)
    assert told.training_usd is not None
    assert told.cost_usd == told.training_usd >= step.seconds(datetime.now(UTC)) > 0


def history_of(run: FlowRun) -> RunRecord:
    (found,) = (each for each in asyncio.run(reader.read(Selection())) if each.id == str(run.id))
    return found


def test_a_completed_run_is_nothing_to_the_watcher(past: PastRuns, train: Train, ml_client: Any) -> None:
    job = train(run_of(past, Completed(), wait={"mode": "suspend", "timeout_hours": 1e-9}))
    watch()
    assert status(ml_client, job) not in ("Canceled", "CancelRequested")
