"""A scoring script in an environment of its own: Azure's inference server, behind the model server's door."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from azureml_local.errors import ServiceError
from azureml_local.execution import container
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.environments import Environments
from azureml_local.execution.model_server import ModelServer, Served, log_path
from azureml_local.settings import Scenario, Settings
from azureml_local.state.workspace import WorkspaceState
from tests.azureml_local.test_liveness import deployment
from tests.support import inference_package
from tests.support.waiting import until

SCRIPT = "def init():\n    print('loaded', flush=True)\ndef run(raw):\n    return raw.upper()\n"
Start = Callable[[str], ModelServer]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a script in an environment whose temporary files lie below the test's."""
    programs = inference_package.install(tmp_path / "venv")
    (programs / "python").symlink_to(sys.executable)
    (tmp_path / "t").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    started = []

    def starting(script: str) -> ModelServer:
        (tmp_path / "score.py").write_text(script)
        variables = {"AML_APP_ROOT": str(tmp_path), "AZUREML_ENTRY_SCRIPT": "score.py"}
        variables["PYTHONPATH"] = inference_package.path(tmp_path / "venv")
        served = Served(None, tmp_path / "score.py", 1, programs)
        started.append(ModelServer.start(tmp_path / "server", served, variables))
        return started[-1]

    yield starting
    for server in started:
        server.kill()


def ask(server: ModelServer, path: str, body: str, token: str | None = None) -> tuple[int, Any, list[str]]:
    address = server.address
    assert address is not None
    headers = address.headers if token is None else {"Authorization": token}
    with closing(http.client.HTTPConnection("127.0.0.1", address.port)) as connection:
        connection.request("POST", path, body.encode(), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers.get_all("x-own") or []


def test_a_script_answers_through_the_server_of_its_environment(start: Start, tmp_path: Path) -> None:
    server = start(SCRIPT)
    until(lambda: server.healthy(1.0) or server.exit_code() is not None)
    assert server.exit_code() is None, log_path(server.directory).read_text()
    status, answer, own = ask(server, "/score?a=%20b", "hi ä")
    assert (status, answer["result"], own) == (200, "HI Ä", ["1", "2"])
    asked = {"REQUEST_METHOD": "POST", "PATH_INFO": "/score", "QUERY_STRING": "a=%20b", "authorized": False}
    assert answer["asked"] == asked
    assert ask(server, "/score", "", token="Bearer guessed")[0] == 401
    assert "loaded" in log_path(server.directory).read_text()
    assert list((tmp_path / "t").iterdir())
    server.kill()
    assert not list((tmp_path / "t").iterdir()), "the socket's folder is left"


@pytest.mark.slow
def test_a_script_that_cannot_start_ends_its_server_with_the_reason_in_the_log(start: Start) -> None:
    server = start("def init():\n    raise ValueError('no such model')\ndef run(raw):\n    pass\n")
    assert until(server.exit_code) == 3  # as gunicorn ends when no worker starts
    assert "ValueError: no such model" in log_path(server.directory).read_text()


def test_an_environment_without_azures_server_is_refused_as_azures_container_fails(tmp_path: Path) -> None:
    (tmp_path / "score.py").write_text(SCRIPT)
    wanted: Deployment = replace(deployment(), code="c", script="score.py")
    with pytest.raises(ServiceError, match="inference-server-http is missing. Add it") as raised:
        container.start(wanted, tmp_path / "d", model=None, code=tmp_path, python=tmp_path / "venv" / "bin")
    assert raised.value.code == "ResourceNotReady"


def test_the_nodes_python_is_that_of_everything_but_the_registrys_own_steps(tmp_path: Path) -> None:
    scenario = Scenario(node_python=tmp_path / "venv" / "bin" / "python")
    state = WorkspaceState.open(Settings(tmp_path / "state", 0, scenario=scenario))
    environments = Environments(state)

    def python(reference: str | None) -> Path | None:
        return environments.python(reference, tmp_path / "log", lambda _: None)

    assert python(None) == python("azureml:any:1") == tmp_path / "venv" / "bin"
    assert python("azureml://registries/azureml/environments/azureml-local-cpu/versions/1") is None
    assert not (tmp_path / "log").exists()
    state.close()
