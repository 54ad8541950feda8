"""A worker's life: lost processes, a server that restarts, two runs of one fingerprint."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from flows.operations.healing import heal
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.deployed import deploy
from tests.support.deployed_runs import (
    deployment_id,
    ended,
    jobs,
    read,
    row,
    start,
    training,
    when,
)
from tests.support.prefect_server import PrefectServer, end, serving, start_worker, working
from tests.support.waiting import PATIENCE, until

pytestmark = pytest.mark.slow

DEPLOYMENT = "finetune/tests"


@pytest.fixture(scope="module")
def prefect(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """A server with the fine-tune and the watcher deployed; the tests say what runs."""
    home = tmp_path_factory.mktemp("prefect-worker")
    with serving(home, AZUREML_LOCAL_STATE=str(server.state)) as prefect:
        deploy(prefect)
        yield prefect


def test_two_runs_of_one_fingerprint_at_once_train_once(
    prefect: PrefectServer, config: MakeConfig, ml_client: Any
) -> None:
    cluster = ("compute.name=one-fingerprint", "compute.keep=false")
    wanted = config("data.train.take=32", "parameters.more={seconds: 8}", *cluster)
    with working(prefect):
        both = [start(prefect, DEPLOYMENT, wanted) for _ in range(2)]
        ends = [ended(prefect, run) for run in both]
    for run in ends:
        assert run.state is not None
        assert run.state.is_completed(), run.state
    rows = [row(prefect, identity) for identity in both]
    assert rows[0]["fingerprint"] == rows[1]["fingerprint"]
    assert len(jobs(rows[0]["fingerprint"])) == 1
    assert any(each["reused"] for each in rows)
    assert len({(each["model"], each["model_version"]) for each in rows}) == 1
    assert all(each["answer"] for each in rows)
    assert_no_endpoint(ml_client, rows[0]["endpoint"])
    assert "one-fingerprint" not in [compute.name for compute in ml_client.compute.list()]


def test_a_run_whose_worker_was_killed_goes_on_with_the_next_worker(
    prefect: PrefectServer, config: MakeConfig, ml_client: Any, tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    wanted = config("data.train.take=34", f"parameters.more={{seconds: 1800, until: {enough}}}")
    worker = start_worker(prefect)
    try:
        run = start(prefect, DEPLOYMENT, wanted)
        until(lambda: training(prefect, run), "the run is not training")
        kill_with_children(worker)
        state = read(prefect, run).state
        assert state is not None
        assert state.is_running()  # nobody has noticed yet
        with working(prefect):
            look_now_and_in_an_hour(prefect, run)
            enough.touch()
            done = when(prefect, run, lambda found: bool(found.state and found.state.is_completed()))
            assert done.run_count == 2
    finally:
        end(worker)
    report = row(prefect, run)
    assert len(jobs(report["fingerprint"])) == 1
    assert_no_endpoint(ml_client, report["endpoint"])


def test_a_run_outlasts_its_worker_and_a_restart_of_the_server(
    prefect: PrefectServer, config: MakeConfig, ml_client: Any, tmp_path: Path
) -> None:
    enough = tmp_path / "enough"
    wanted = config("data.train.take=35", f"parameters.more={{seconds: 1800, until: {enough}}}")
    worker = start_worker(prefect)
    try:
        run = start(prefect, DEPLOYMENT, wanted)
        until(lambda: training(prefect, run), "the run is not training")
        worker.kill()  # the run's next line meets a pipe without a reader
        worker.wait()
        prefect.stop()
        prefect.start()
        enough.touch()
        done = ended(prefect, run)
    finally:
        end(worker)
    assert done.state is not None
    assert done.state.is_completed(), done.state
    assert done.run_count == 1
    assert len(jobs(row(prefect, run)["fingerprint"])) == 1


def look_now_and_in_an_hour(prefect: PrefectServer, run: UUID) -> None:
    """Let the watcher look, which takes nobody for lost at first, and once more when all has been silent."""
    with prefect.client() as client:
        look = client.create_flow_run_from_deployment(deployment_id(prefect, "watch/tests"))
        assert ended(prefect, look.id).run_count > 0
        healed = heal(client, timedelta(minutes=10), datetime.now(UTC) + timedelta(hours=1))
    assert healed.lost == healed.rescheduled == (read(prefect, run).name,)


def kill_with_children(worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the worker and to the processes of its runs, as when the machine is lost."""
    import psutil

    lost = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    for process in lost:
        process.kill()
    psutil.wait_procs(lost, timeout=PATIENCE)


def assert_no_endpoint(ml_client: Any, name: str) -> None:
    assert name not in [endpoint.name for endpoint in ml_client.online_endpoints.list()]
