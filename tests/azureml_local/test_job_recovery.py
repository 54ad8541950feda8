"""Jobs across the death of the server: processes go on, and the next server takes the jobs up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from azureml_local import switch
from azureml_local.server import Address
from tests.support.waiting import until

pytestmark = pytest.mark.slow

# Waits a minute at most, so that a test that fails leaves nothing behind.
SUBMIT = "i=0; while [ ! -e {go} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done; echo went on"


@contextmanager
def client(state: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The SDK's client of the state's server, which ends with the block."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    with switch.joined(state) as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield MLClient(
            DefaultAzureCredential(),
            environment["AZURE_SUBSCRIPTION_ID"],
            environment["AZURE_RESOURCE_GROUP"],
            environment["AZUREML_WORKSPACE_NAME"],
        )


def kill_server(state: Path) -> None:
    pid = json.loads((state / "server.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: Address.read(state) is None)


def submit(ml: Any, command: str) -> str:
    from azure.ai.ml import command as build

    environment = "azureml://registries/azureml/environments/any/versions/1"
    job = ml.jobs.create_or_update(build(command=command, environment=environment, experiment_name="tests"))
    return str(until(lambda: ml.jobs.get(job.name).status == "Running" and job.name))


def node(state: Path, name: str) -> psutil.Process:
    """The process that runs the job."""
    directory = str(state / "jobs" / name)
    return next(p for p in psutil.process_iter(["cmdline"]) if directory in (p.info["cmdline"] or []))


@dataclass(frozen=True)
class Killed:
    """Jobs of a server that was killed meanwhile, by what became of them; `ml` is of the next server."""

    ml: Any
    state: Path
    adopted: str
    go: Path
    process: psutil.Process
    ended: str
    lost: str


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """One server dies for all tests that ask what the next one makes of its jobs."""
    folder = tmp_path_factory.mktemp("killed")
    state, go, end = folder / "state", folder / "go", folder / "end"
    with pytest.MonkeyPatch.context() as patch:
        with client(state, patch) as ml:
            adopted, ended, lost = (
                submit(ml, command)
                for command in (SUBMIT.format(go=go), SUBMIT.format(go=end) + "; exit 7", "sleep 60")
            )
            processes = {name: node(state, name) for name in (adopted, ended, lost)}
            kill_server(state)
        end.touch()
        os.killpg(processes[lost].pid, signal.SIGKILL)
        for name in (ended, lost):
            until(lambda: is_over(processes[name]))  # noqa: B023
        with client(state, patch) as ml:
            yield Killed(ml, state, adopted, go, processes[adopted], ended, lost)


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_job_is_adopted_by_the_next_server(killed: Killed, tmp_path: Path) -> None:
    assert killed.ml.jobs.get(killed.adopted).status == "Running"
    assert node(killed.state, killed.adopted) == killed.process
    killed.go.touch()
    until(lambda: killed.ml.jobs.get(killed.adopted).status == "Completed")
    killed.ml.jobs.download(killed.adopted, download_path=tmp_path)
    assert (tmp_path / "artifacts" / "user_logs" / "std_log.txt").read_text() == "went on\n"


def test_job_that_ended_meanwhile_has_its_status(killed: Killed) -> None:
    until(lambda: killed.ml.jobs.get(killed.ended).status == "Failed")
    error = killed.ml.jobs._runs_operations.get_run_details(killed.ended).error.error
    assert "exited with status code 7" in error.message


def test_job_whose_node_was_lost_ends_failed(killed: Killed) -> None:
    until(lambda: killed.ml.jobs.get(killed.lost).status == "Failed")
    error = killed.ml.jobs._runs_operations.get_run_details(killed.lost).error.error
    assert error.code == "NodeLost"


def test_ctrl_c_ends_the_processes_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, go = tmp_path / "state", tmp_path / "go"
    command = [sys.executable, "-m", "azureml_local", "up", "--state", str(state)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        until(lambda: Address.read(state) is not None)
        with client(state, monkeypatch) as ml:
            name = submit(ml, SUBMIT.format(go=go))
            process = node(state, name)
            server.send_signal(signal.SIGINT)
            _, said = server.communicate()
    assert f"Ended the processes of jobs that ran: {name}." in said
    assert not process.is_running()
    go.touch()
    with client(state, monkeypatch) as ml:
        until(lambda: ml.jobs.get(name).status == "Completed")
