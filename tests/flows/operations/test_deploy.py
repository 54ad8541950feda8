"""`prefect deploy --all` from a fresh clone: no question is asked, and the second time changes nothing."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import PrefectHTTPStatusError

from flows.run.config import load
from flows.run.parameters import config_in
from tests.support.checkout import ROOT
from tests.support.deployed_runs import runs_of
from tests.support.prefect_server import PrefectServer, make_pool, serving
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.slow

NAMES = [each["name"] for each in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The project as git would hand it out, somewhere else."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    folder = tmp_path / "clone"
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.fixture
def prefect_server(tmp_path: Path) -> Iterator[PrefectServer]:
    """An empty Prefect server; tests/docs/test_as_written.py deploys on one with PostgreSQL."""
    with serving(tmp_path / "prefect") as server:
        make_pool(server)
        yield server


def test_everything_is_deployed_from_a_fresh_clone_twice(prefect_server: PrefectServer, clone: Path) -> None:
    prefect_server.prefect("deploy", "--all", cwd=clone)
    first = deployments(prefect_server)
    assert sorted(first) == sorted(NAMES)

    # As a person runs it: on a terminal, where every question that Prefect has would be asked.
    assert on_a_terminal(["prefect", "deploy", "--all"], prefect_server, clone) == 0
    again = deployments(prefect_server)
    assert {name: each.id for name, each in again.items()} == {name: each.id for name, each in first.items()}

    for deployment in again.values():
        (pull,) = deployment.pull_steps or []
        assert pull == {"prefect.deployments.steps.set_working_directory": {"directory": str(clone)}}
        assert deployment.enforce_parameter_schema
        assert deployment.global_concurrency_limit is not None
    assert config_in(again["local"].parameters) == load("local")
    assert config_in(again["weekly"].parameters) == load("phi-4-ultrachat")
    (weekly,) = again["weekly"].schedules
    assert not weekly.active
    assert weekly.schedule.timezone == "Europe/Berlin"  # type: ignore[union-attr]
    refuses_by_the_forms_schema(prefect_server, again["local"])


def refuses_by_the_forms_schema(server: PrefectServer, deployment: DeploymentResponse) -> None:
    """The server itself says what is wrong with a parameter, and makes no run."""
    before = runs_of(server, "finetune/local")
    with server.client() as client, pytest.raises(PrefectHTTPStatusError, match="409") as error:
        client.create_flow_run_from_deployment(deployment.id, parameters={"deploy": {"instance_count": 0}})
    assert "0 is less than the minimum of 1" in error.value.response.json()["detail"]
    assert runs_of(server, "finetune/local") == before


def deployments(server: PrefectServer) -> dict[str, DeploymentResponse]:
    with server.client() as client:
        return {deployment.name: deployment for deployment in client.read_deployments()}


def on_a_terminal(command: list[str], server: PrefectServer, cwd: Path) -> int:
    """The exit status of a command whose terminal nobody types at; a question would never be answered."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            command, cwd=cwd, env=server.environment | {"TERM": "xterm"}, stdin=its, stdout=its, stderr=its
        )
        os.close(its)
        drain(ours)
        return process.wait(PATIENCE)
    finally:
        os.close(ours)


def drain(terminal: int) -> None:
    """Read until the other side is closed: Linux says so with an error."""
    while True:
        try:
            if not os.read(terminal, 65536):
                return
        except OSError:
            return
