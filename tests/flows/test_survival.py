"""What ends a run, and what it leaves then: signals, dead terminals and lost workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterStartTime,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.states import AwaitingRetry, Cancelling

from flows.dashboard.run import row_of
from flows.run import parameters
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.checkout import ROOT
from tests.support.flow_process import Processes, deploy, once, processes, read, run_of
from tests.support.fork_server import Forked, ForkServer
from tests.support.held_calls import held
from tests.support.prefect_server import PrefectServer

pytestmark = pytest.mark.slow

LONG = "parameters.more.seconds=1800"


@pytest.fixture
def start(
    fork_server: ForkServer, prefect_server: PrefectServer, tiny: str, environment: Any, tmp_path: Path
) -> Iterator[Processes]:
    with processes(fork_server, prefect_server, tmp_path) as made:
        yield made


@pytest.fixture
def cluster() -> str:
    """A name of this test's own: its job is found by it, and it shall be gone or stay."""
    return f"survival-{uuid4().hex[:8]}"


@pytest.fixture
def training(
    cluster: str, start: Processes, ml_client: Any, server: LocalServer
) -> Iterator[Callable[[Forked], Any]]:
    """Gives the job that the process waits for, once it runs; what is left of it ends with the test."""

    def found() -> Any:
        of_cluster = (job for job in ours.jobs() if job.tags.get("finetune.cluster") == cluster)
        return next((job for job in of_cluster if job.state == "Running"), None)

    def waited_for(process: Forked) -> Any:
        said = start.said(process)
        waits = "● train: " in said or "s to go" in said  # on the command line, in a worker's log
        return found() if waits else None

    yield lambda process: once(process, lambda: waited_for(process), lambda: start.said(process))
    if job := found():
        ml_client.jobs.begin_cancel(job.name)
    if cluster in [each.name for each in ml_client.compute.list()]:
        ml_client.compute.begin_delete(cluster).wait()


Training = Callable[[Forked], Any]


def own(cluster: str, until_file: Path | None = None) -> tuple[str, ...]:
    """Changes that make inputs unlike any other test's, on a cluster of its own."""
    ends = (f"parameters.more.until={until_file}",) if until_file else ()
    return (LONG, f"compute.name={cluster}", "compute.keep=false", *ends)


def state_of(prefect: PrefectServer, run: str) -> Any:
    return read(prefect, UUID(run)).state


def clusters(ml_client: Any) -> list[str]:
    return [each.name for each in ml_client.compute.list()]


def test_a_forked_process_ends_as_one_that_is_started(fork_server: ForkServer, tmp_path: Path) -> None:
    """By its exit code or a signal, in a session of its own: what the other tests here rest on."""
    arguments = ("json.tool", str(tmp_path / "nowhere"))
    started = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, check=False)
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        forked = fork_server.start(arguments, os.environ, out=out, err=err)
        assert forked.wait() == started.returncode != 0
        lasting = fork_server.start(["http.server", "0"], {"OF": "a test"}, out=out, err=err)
    said = (tmp_path / "err").read_text().splitlines()
    assert said[0] == started.stderr.decode().splitlines()[0]
    once(lasting, lambda: (tmp_path / "out").stat().st_size, (tmp_path / "err").read_text)
    assert psutil.Process(lasting.pid).cwd() == str(ROOT)
    assert os.getsid(lasting.pid) == os.getpgid(lasting.pid) == lasting.pid
    lasting.send_signal(signal.SIGTERM)
    assert lasting.wait() == -signal.SIGTERM


def test_a_job_outlives_the_runs_that_wait_for_it_and_the_next_one_uses_it(
    start: Processes,
    training: Training,
    cluster: str,
    ml_client: Any,
    prefect_server: PrefectServer,
    tmp_path: Path,
) -> None:
    """Ctrl-C of one that is not its owner, SIGTERM of its owner, SIGHUP of one that has taken it over."""
    changes = own(cluster, tmp_path / "end")
    owner = start.command(*changes)
    job = training(owner)
    other = start.command(*changes)
    once(other, lambda: "● train: " in start.said(other), lambda: start.said(other))
    other.send_signal(signal.SIGINT)
    assert other.wait() == 130, start.said(other)
    goes_on = f"job {job.name} goes on for flow run {job.tags['finetune.run']}"
    assert goes_on in start.said(other).splitlines()[-1]
    assert ml_client.jobs.get(job.name).status == "Running"

    ended_by(signal.SIGTERM, owner, start)
    assert state_of(prefect_server, job.tags["finetune.run"]).is_crashed()
    heir = start.command(*changes)  # finds no result of the wait that was cancelled
    training(heir)
    ended_by(signal.SIGHUP, heir, start)
    assert newest(prefect_server).state.is_crashed()
    assert ml_client.jobs.get(job.name).status == "Running"
    assert cluster in clusters(ml_client)

    (tmp_path / "end").touch()
    last = start.command(*changes)
    assert last.wait() == 0, start.said(last)
    assert len([job for job in ours.jobs() if job.tags.get("finetune.cluster") == cluster]) == 1


def ended_by(number: signal.Signals, run: Forked, start: Processes) -> None:
    """End the run by the signal, and see that it says so and how its job fares."""
    run.send_signal(number)
    assert run.wait() == 128 + number, start.said(run)
    assert f"Ended by {number.name}. A job that was submitted goes on" in start.said(run)


def newest(prefect: PrefectServer) -> Any:
    """The flow run that was started last; one that is only scheduled has not been."""
    started = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    with prefect.client() as client:
        found = client.read_flow_runs(flow_run_filter=started, sort=FlowRunSort.START_TIME_DESC, limit=1)
    return found[0]


def test_ctrl_c_cancels_the_job_and_the_run_says_what_became_of_everything(
    start: Processes,
    training: Training,
    cluster: str,
    ml_client: Any,
    prefect_server: PrefectServer,
    server: LocalServer,
) -> None:
    """Also when it is pressed once more in the midst of the clean-up."""
    run = start.command(*own(cluster))
    job = training(run)
    with held(server, "POST", "/**/jobs/*/cancel") as hit:
        os.killpg(run.pid, signal.SIGINT)
        once(run, hit, lambda: start.said(run))
        os.killpg(run.pid, signal.SIGINT)
    assert run.wait() == 130, start.said(run)
    assert "Interrupt once more" in start.said(run)
    assert ml_client.jobs.get(job.name).status == "Canceled"
    assert cluster not in clusters(ml_client)

    flow_run = job.tags["finetune.run"]
    state = state_of(prefect_server, flow_run)
    assert state.is_cancelled()
    assert state.message.startswith(
        f"Cancelled at train: job {job.name} cancelled; cluster {cluster} deleted; $"
    )
    assert start.said(run).splitlines()[-1] == state.message
    assert states_of_tasks(prefect_server, flow_run)[f"train {job.name}"] == "Cancelled"
    assert not [line for line in logs(prefect_server, flow_run) if "Crash detected" in line]


def test_a_third_ctrl_c_leaves_at_once_and_says_what_is_left(
    start: Processes, training: Training, cluster: str, ml_client: Any, server: LocalServer
) -> None:
    again = start.command(*own(cluster))
    job = training(again)
    with held(server, "POST", "/**/jobs/*/cancel") as hit:
        again.send_signal(signal.SIGINT)
        once(again, hit, lambda: start.said(again))
        again.send_signal(signal.SIGINT)
        once(again, lambda: "Interrupt once more" in start.said(again), lambda: start.said(again))
        again.send_signal(signal.SIGINT)
        assert again.wait() == 130, start.said(again)
    last = start.said(again).splitlines()[-1]
    assert f"az ml job cancel -n {job.name}; az ml compute delete -n {cluster}" in last
    assert cluster in clusters(ml_client)


def test_ctrl_c_while_the_cluster_is_made_leaves_none(
    start: Processes, training: Training, cluster: str, ml_client: Any, server: LocalServer
) -> None:
    with held(server, "PUT", f"/**/computes/{cluster}") as hit:
        run = start.command(*own(cluster))
        once(run, hit, lambda: start.said(run))
        run.send_signal(signal.SIGINT)
    assert run.wait() == 130, start.said(run)
    assert cluster not in clusters(ml_client)


def test_an_eviction_leaves_the_job_of_a_deployments_run_and_a_cancellation_does_not(
    start: Processes,
    training: Training,
    cluster: str,
    config: MakeConfig,
    ml_client: Any,
    prefect_server: PrefectServer,
) -> None:
    run = run_of(prefect_server, deploy(prefect_server, config(*own(cluster)), cluster))
    evicted = start.engine(run)
    job = training(evicted)
    evicted.send_signal(signal.SIGTERM)
    evicted.wait()
    assert ml_client.jobs.get(job.name).status == "Running"
    assert state_of(prefect_server, str(run)).is_crashed()
    row = report_row(prefect_server, run)
    assert (row["outcome"], row["failed_stage"], row["cause"]) == ("crashed", "train", "crashed")
    assert f"ended by SIGTERM; job {job.name} goes on" in row["failure"]

    with prefect_server.client() as client:
        client.set_flow_run_state(run, AwaitingRetry(), force=True)
    resumed = start.engine(run)
    once(resumed, lambda: "s to go" in start.said(resumed), lambda: start.said(resumed))
    with prefect_server.client() as client:
        client.set_flow_run_state(run, Cancelling(), force=True)
    resumed.send_signal(signal.SIGTERM)
    resumed.wait()
    assert ml_client.jobs.get(job.name).status == "Canceled"
    assert cluster not in clusters(ml_client)
    row = report_row(prefect_server, run)
    assert (row["outcome"], row["failed_stage"], row["cause"]) == ("cancelled", "train", "cancelled")
    assert row["failure"].startswith(f"job {job.name} cancelled; cluster {cluster} deleted; $")


def test_what_a_run_leaves_out_is_its_deployments(
    start: Processes, training: Training, cluster: str, config: MakeConfig, prefect_server: PrefectServer
) -> None:
    whole = config(*own(cluster), "wait.budget_usd=7", "parameters.more.seconds=0")
    run = run_of(
        prefect_server,
        deploy(prefect_server, whole, cluster),
        {"settings": {"fresh": True}, "wait": {"poll_seconds": 0.2}},
    )
    process = start.engine(run)
    assert process.wait() == 0, start.said(process)
    found = read(prefect_server, run)
    wanted = parameters.of(whole)
    wanted["settings"]["fresh"], wanted["wait"]["poll_seconds"] = True, 0.2
    assert found.parameters == wanted
    assert found.name.startswith("tiny ")
    assert report_row(prefect_server, run)["base_model"] == "tiny-chat-base:1"


def states_of_tasks(prefect: PrefectServer, run: str) -> dict[str, str | None]:
    """The state's name of each task of a run, once the server has them."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(run)]))
    with prefect.client() as client:
        return {task.name: task.state_name for task in client.read_task_runs(flow_run_filter=of_run)}


def logs(prefect: PrefectServer, run: str) -> list[str]:
    with prefect.client() as client:
        found = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run)])))
    return [line.message for line in found]


def report_row(prefect: PrefectServer, run: UUID) -> dict[str, Any]:
    """The newest report that the run has left."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(any_=["finetune-run"])
    )
    with prefect.client() as client:
        newest = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC)[0]
    row = row_of(newest.data)
    assert row is not None
    return row
