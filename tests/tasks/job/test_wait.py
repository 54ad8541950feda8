"""The wait for a job, through the SDK, with a service that misbehaves by rule."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tasks import compute
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.azure.run_history import Log
from tasks.compute import Cluster, Compute
from tasks.core.lease import Lease
from tasks.core.reuse import Reused
from tasks.core.stage import StageEvent, observing
from tasks.job.attempts import find
from tasks.job.meter import Meter
from tasks.job.pipeline import Submission
from tasks.job.status import Unattended, find_unattended
from tasks.job.wait import TrainedJob, Wait, cancel_own, has_ended, wait_for_job
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.support.failures import fails
from tests.support.waiting import until
from tests.tasks.job.waiting_run import RUN, waiter

_ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
_SOON = {"Retry-After": "0.01"}  # what the SDK waits before it asks again
_QUICK = Wait(poll_seconds=0.1, timeout_hours=0.1)

IDLE = 120  # seconds

Submit = Callable[..., Submission]


@pytest.fixture(scope="module")
def cluster(server: LocalServer) -> Iterator[Cluster]:
    from azure.ai.ml.entities import AmlCompute

    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        session = sign_in.fn(Workspace())
        name = f"wait-{uuid4().hex[:8]}"
        made = Cluster(name=name, size="Standard_DS3_v2", gpus=0, nodes=1, price=0.36, created=True)
        body = AmlCompute(name=made.name, size=made.size, max_instances=4, idle_time_before_scale_down=IDLE)
        clients.workspace(session).compute.begin_create_or_update(body).wait()
        yield made
        compute.remove(session, made.name, None)


@pytest.fixture
def submit(session: Session, cluster: Cluster) -> Iterator[Submit]:
    """Submits a pipeline of one step, a shell command; what still runs after the test is cancelled."""
    made: list[str] = []

    def put(script: str, lease: Lease | None = None, *, nested: bool = False) -> Submission:
        from azure.ai.ml import command
        from azure.ai.ml.dsl import pipeline

        step = command(name="learn", command=script, environment=_ENVIRONMENT, compute=cluster.name)

        @pipeline(name="waited for")  # type: ignore[untyped-decorator]
        def graph() -> None:
            step()

        @pipeline(name="around it")  # type: ignore[untyped-decorator]
        def around() -> None:
            graph()

        job = around() if nested else graph()
        job.name = f"wait-{uuid4().hex[:10]}"
        job.tags = lease.tags() if lease else {}
        done = clients.workspace(session).jobs.create_or_update(job, experiment_name="wait")
        made.append(done.name)
        return Submission(
            name=done.name,
            status=clients.state(done.status),
            created=done.creation_context.created_at,
            studio_url="https://studio/job",
        )

    yield put
    for name in made:
        clients.workspace(session).jobs.begin_cancel(name)


def until_file(path: Path) -> str:
    """A command that ends when the file is there, or after a minute: a failed test leaves nothing behind."""
    return f"i=0; while [ ! -e {path} ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done"


def wait(session: Session, job: Submission, cluster: Cluster, how: Wait = _QUICK) -> TrainedJob:
    return wait_for_job.fn(session, job, Meter(cluster), how, waiter())


def status(session: Session, job: Submission) -> str:
    return clients.state(find(session, job.name).status)


def becomes(session: Session, job: Submission, wanted: str) -> None:
    until(lambda: status(session, job) == wanted, lambda: f"the job is {status(session, job)}, not {wanted}")


@pytest.mark.slow
def test_a_completed_job_tells_its_time_its_dollars_and_its_log(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "finetune")
    job = submit("echo first; sleep 1; echo second")
    done = wait(session, job, cluster)
    assert done.output == f"azureml://jobs/{job.name}/outputs/trained_model"
    assert [step.status for step in done.steps] == ["Completed"]
    assert 1 <= done.running < 20
    # The node's idle time after it is going to be billed as well; its boot takes no time here.
    assert done.cost == pytest.approx((done.running + IDLE) / 3600 * cluster.price, rel=0.02)
    said = [record.getMessage() for record in caplog.records]
    for line in ("first", "second"):
        assert len([text for text in said if text.endswith(f"| {line}")]) == 1
    # Whoever looks only afterwards is told the same: the times are the steps' own.
    again = wait(session, job, cluster)
    assert again.running == done.running
    assert again.cost == pytest.approx(done.cost, rel=0.02)


@pytest.mark.slow
def test_the_steps_within_a_pipeline_component_are_followed(
    session: Session, cluster: Cluster, submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "finetune")
    job = submit("echo nested; sleep 1", nested=True)
    done = wait(session, job, cluster)
    assert [(step.name, step.status, step.nodes) for step in done.steps] == [("learn", "Completed", 1)]
    assert done.cost == pytest.approx((done.running + IDLE) / 3600 * cluster.price, rel=0.02)
    assert any(record.getMessage() == "learn | nested" for record in caplog.records)


@pytest.mark.slow
def test_a_cluster_that_may_not_be_read_leaves_the_steps_times_as_the_least(
    session: Session, cluster: Cluster, submit: Submit, let_fail: LetFail
) -> None:
    job = submit("sleep 2")
    let_fail({"path": f"/**/computes/{cluster.name}", "kind": "status", "status": 403, "count": None})
    told: list[str] = []

    def look(progress: StageEvent) -> None:
        told.append(progress.detail)

    with observing(look):
        done = wait(session, job, cluster)
    assert done.cost == pytest.approx(done.running / 3600 * cluster.price, rel=0.02)
    assert [text for text in told if "learn: Running, at least $" in text]


def test_only_the_first_process_log_is_read(
    session: Session, cluster: Cluster, submit: Submit, server: LocalServer
) -> None:
    job = submit("echo own")
    (step,) = wait(session, job, cluster).steps
    folder = server.state / "blobs" / "azureml" / "ExperimentRun" / f"dcid.{step.id}"
    (folder / "user_logs" / "std_log.txt").unlink()
    for rank in range(12):
        (folder / "user_logs" / f"std_log_process_{rank}.txt").write_text(f"rank {rank}\n")
    (folder / "system_logs").mkdir(exist_ok=True)
    (folder / "system_logs" / "lifecycler.log").write_text("machinery\n")
    assert Log(session, step.id).rest() == ["rank 0"]


@pytest.mark.parametrize(
    "away",
    [
        {"path": "**/user_logs/*", "kind": "status", "status": 503},
        {"path": "**/user_logs/*", "kind": "reset"},
        {"path": "runs/*/details", "kind": "status", "status": 503, "headers": _SOON},
    ],
    ids=["storage busy", "storage out of reach", "history busy"],
)
def test_a_log_out_of_reach_decides_nothing(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    let_fail: LetFail,
    caplog: pytest.LogCaptureFixture,
    away: dict[str, Any],
) -> None:
    job = submit("echo unseen")
    let_fail({"method": "GET", "count": None, **away})
    assert wait(session, job, cluster).name == job.name
    assert f"The log of {job.name} cannot be read" in caplog.text


def test_a_job_knows_its_own_experiment(session: Session, cluster: Cluster, submit: Submit) -> None:
    assert wait(session, submit("true"), cluster).experiment == "wait"


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
def test_the_failed_steps_error_and_last_lines_are_reported(
    session: Session, cluster: Cluster, submit: Submit, nested: bool
) -> None:
    job = submit("for i in $(seq 100 150); do echo line-$i; done; exit 3", nested=nested)
    with fails(Cause.JOB, "learn", job.name) as raised:
        wait(session, job, cluster)
    _, _, tail = raised.value.details.partition("Last log lines of")
    lines = tail.splitlines()[1:]
    assert len(lines) == 30
    assert "line-150" in lines
    assert "line-110" not in lines
    assert not raised.value.retryable


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503, "headers": _SOON},
        {"kind": "status", "status": 429, "headers": _SOON},
        {"kind": "truncate"},
        {"kind": "expired-token", "count": 3},
    ],
    ids=lambda fault: str(fault.get("status", fault["kind"])),
)
def test_an_outage_is_outlasted(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    let_fail: LetFail,
    caplog: pytest.LogCaptureFixture,
    fault: dict[str, Any],
) -> None:
    job = submit("sleep 0.5")
    # More often than the SDK asks by itself.
    let_fail({"path": f"jobs/{job.name}", "method": "GET", **{"count": 9, **fault}})
    assert wait(session, job, cluster).name == job.name
    assert "cannot be seen at the moment" in caplog.text


def test_lost_connections_are_outlasted(
    session: Session, cluster: Cluster, submit: Submit, let_fail: LetFail
) -> None:
    job = submit("true")
    let_fail({"path": f"jobs/{job.name}", "method": "GET", "kind": "reset", "count": 2})
    assert wait(session, job, cluster).name == job.name


def test_an_outage_beyond_what_the_user_allows_ends_the_wait_and_not_the_job(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    let_fail: LetFail,
    tmp_path: Path,
) -> None:
    job = submit(until_file(tmp_path / "go"))
    becomes(session, job, "Running")
    let_fail({"path": f"jobs/{job.name}", "kind": "status", "status": 503, "headers": _SOON, "count": None})
    with fails(Cause.UNREACHABLE, job.name):
        wait(session, job, cluster, _QUICK.model_copy(update={"outage_minutes": 0}))
    let_fail()
    assert status(session, job) == "Running"
    (tmp_path / "go").touch()


def test_a_refusal_is_no_outage(
    session: Session, cluster: Cluster, submit: Submit, let_fail: LetFail
) -> None:
    job = submit("true")
    let_fail({"path": f"jobs/{job.name}", "kind": "status", "status": 403, "count": None})
    with fails(Cause.PERMISSION):
        wait(session, job, cluster)


def test_a_log_that_cannot_be_read_ends_no_training(
    session: Session, cluster: Cluster, submit: Submit, let_fail: LetFail
) -> None:
    job = submit("echo unseen")
    let_fail({"path": "runs/*/details", "kind": "status", "status": 403, "count": None})
    assert wait(session, job, cluster).name == job.name


def test_the_time_out_cancels_the_job_and_says_so(
    session: Session, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    job = submit(until_file(tmp_path / "never"))
    with fails(Cause.TIMED_OUT, "1e-06 h", job.name, "wait.timeout_hours"):
        wait(session, job, cluster, _QUICK.model_copy(update={"timeout_hours": 1e-6}))
    becomes(session, job, "Canceled")


@pytest.mark.slow
def test_no_budget_cancels_a_job_that_waits_for_a_node(
    session: Session, cluster: Cluster, submit: Submit, let_fail: LetFail, tmp_path: Path
) -> None:
    let_fail({"kind": "no-capacity", "path": f"/computes/{cluster.name}", "seconds": 2})
    job = submit(until_file(tmp_path / "never"))
    tight = _QUICK.model_copy(update={"budget_usd": 1e-9})
    looked: list[str] = []

    def look(progress: StageEvent) -> None:
        looked.append(progress.detail)

    with observing(look), fails(Cause.BUDGET, job.name):  # once it runs
        wait(session, job, cluster, tight)
    assert [text for text in looked if "Queued, $0.00" in text]


def test_the_budget_cancels_the_job_and_says_so(
    session: Session, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    job = submit(until_file(tmp_path / "never"))
    dear = cluster.model_copy(update={"price": 3600.0})  # a dollar a second
    with fails(Cause.BUDGET, "budget of $0.5", job.name, "wait.budget_usd"):
        wait(session, job, dear, _QUICK.model_copy(update={"budget_usd": 0.5}))
    becomes(session, job, "Canceled")
    with fails(Cause.CANCELLED, job.name):
        wait(session, job, cluster)


def test_the_budget_holds_as_well_where_no_process_waits(
    session: Session, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    run, compute = uuid4().hex, Compute(name=cluster.name, nodes=2, max_nodes=2)
    job = submit(until_file(tmp_path / "go"), Lease.of_run(run, hours=1).priced(7200))  # of both nodes
    becomes(session, job, "Running")

    def found(budget: float) -> Unattended:
        return find_unattended.fn(session, run, compute, _QUICK.model_copy(update={"budget_usd": budget}))

    assert found(1e6) == Unattended(jobs=(job.name,))
    until(lambda: found(1e-6).exceeding.startswith(f"the job {job.name} has cost $"))  # seconds are whole
    (tmp_path / "go").touch()


def test_a_job_that_cannot_be_cancelled_is_reported_as_what_goes_on_to_cost(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    let_fail: LetFail,
    tmp_path: Path,
) -> None:
    job = submit(until_file(tmp_path / "go"))
    let_fail({"path": "jobs/*/cancel", "kind": "status", "status": 403, "count": None})
    with fails(Cause.DELETION, f"az ml job cancel -n {job.name}"):
        wait(session, job, cluster, _QUICK.model_copy(update={"timeout_hours": 1e-6}))
    (tmp_path / "go").touch()


def test_an_interrupted_wait_leaves_the_job_to_whoever_knows_why(
    session: Session, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    job = submit(until_file(tmp_path / "never"), Lease.of_run(RUN, hours=1))

    def press_ctrl_c(progress: StageEvent) -> None:
        if progress.detail:  # it waits
            raise KeyboardInterrupt

    with observing(press_ctrl_c), pytest.raises(KeyboardInterrupt):
        wait(session, job, cluster)
    assert status(session, job) not in ("CancelRequested", "Canceled")
    assert not cancel_own(session, job.name, "another run")
    assert not has_ended(session, job.name)
    assert cancel_own(session, job.name, RUN)
    becomes(session, job, "Canceled")
    assert not cancel_own(session, job.name, RUN)
    assert has_ended(session, job.name)


@pytest.mark.parametrize(
    ("limit", "cause", "what"),
    [
        ({"timeout_hours": 1e-6}, Cause.TIMED_OUT, "took longer than 1e-06 h"),
        ({"budget_usd": 1e-9}, Cause.BUDGET, "The budget of $1e-09 is spent"),
    ],
)
def test_the_limits_of_a_run_that_reused_a_job_end_the_run_and_not_the_job(
    session: Session,
    cluster: Cluster,
    submit: Submit,
    tmp_path: Path,
    limit: dict[str, float],
    cause: Cause,
    what: str,
) -> None:
    job = submit(until_file(tmp_path / "go"), Lease.of_run("the first", hours=1))
    becomes(session, job, "Running")
    reused = job.model_copy(update={"reused": Reused(kind="job", name=job.name, run="the first")})
    with fails(cause, what, "goes on: flow run the first holds it"):
        wait(session, reused, cluster, _QUICK.model_copy(update=limit))
    assert status(session, job) == "Running"
    (tmp_path / "go").touch()


def test_the_time_out_of_a_run_that_reused_a_job_counts_its_own_waiting(
    session: Session, cluster: Cluster, submit: Submit, tmp_path: Path
) -> None:
    job = submit(until_file(tmp_path / "go"), Lease.of_run("the first", hours=1))
    old = {
        "created": datetime.now(UTC) - timedelta(days=1),
        "reused": Reused(kind="job", name=job.name, run="the first"),
    }

    def let_it_end(progress: StageEvent) -> None:
        if progress.detail:  # it has waited, and checked its limits
            (tmp_path / "go").touch()

    with observing(let_it_end):
        assert wait(session, job.model_copy(update=old), cluster).name == job.name
