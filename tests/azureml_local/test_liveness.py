"""When a model server counts as dead: not before it was ready once, and not for ever while it loads."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from azureml_local.execution.deployment import Deployment, Probe
from azureml_local.execution.deployment_records import DeploymentRecords
from azureml_local.execution.environments import Environments
from azureml_local.execution.liveness import Liveness
from azureml_local.execution.model_server import ModelServer
from azureml_local.execution.process import Detached
from azureml_local.execution.server_start import ServerStart
from azureml_local.execution.servers import Servers, Serving
from azureml_local.settings import Settings
from azureml_local.state import sizes
from azureml_local.state.workspace import WorkspaceState

LONG_AGO = -10_000.0
PATIENT = Probe(initial_delay=1, period=1, timeout=1, failure_threshold=100_000)
IMPATIENT = Probe(initial_delay=0, period=0, timeout=1, failure_threshold=1)


@pytest.fixture
def liveness(tmp_path: Path) -> Iterator[Liveness]:
    state = WorkspaceState.open(Settings(state=tmp_path / "state", port=0))
    servers = Servers()
    records = DeploymentRecords(state.store, state.settings.deployments_path)
    yield Liveness(servers, ServerStart(state, records, servers, Environments(state)))
    state.close()


@pytest.fixture
def loading(tmp_path: Path) -> Iterator[ModelServer]:
    """A server that has not announced its port: its model is being loaded."""
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    process = Detached.start(tmp_path / "server", command, cwd=tmp_path, env={}, log=tmp_path / "log")
    server = ModelServer(tmp_path / "server", process)
    yield server
    server.kill()


def test_a_server_that_loads_for_long_is_not_taken_for_dead(liveness: Liveness, loading: ModelServer) -> None:
    launched = time.monotonic() + LONG_AGO
    serving = Serving(loading, deployment(), ready=False, launched=launched, probed=launched)
    for _ in range(3):
        liveness.look(serving)
    assert serving.restart_at is None
    assert loading.exit_code() is None


def test_a_server_that_never_gets_ready_is_started_again_when_its_readiness_probe_gives_up(
    liveness: Liveness, loading: ModelServer
) -> None:
    impatient = replace(deployment(), readiness=IMPATIENT)
    serving = Serving(loading, impatient, ready=False, launched=time.monotonic() + LONG_AGO)
    liveness.look(serving)
    assert serving.restart_at is not None
    assert loading.exit_code() is not None


def test_a_server_that_was_ready_and_answers_no_more_is_started_again(
    liveness: Liveness, loading: ModelServer
) -> None:
    serving = Serving(loading, deployment(), ready=True, probed=time.monotonic() + LONG_AGO)
    liveness.look(serving)
    assert serving.restart_at is not None
    assert loading.exit_code() is not None


def deployment() -> Deployment:
    return Deployment(
        name="any/demo",
        model=None,
        code=None,
        script=None,
        environment=None,
        environment_variables={},
        size=sizes.lookup("Standard_DS3_v2"),
        instances=1,
        concurrency=1,
        timeout=1,
        liveness=IMPATIENT,
        readiness=PATIENT,
    )
