"""Prefect reads its settings when it is imported: every command must have made them by then."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.terminal.reporting import reporting
from tasks.azure.failure import Cause
from tests.support.checkout import ROOT
from tests.support.prefect_server import free_port, migrated
from tests.support.waiting import holds

# Instead of a server, say which time-out its start would have had.
_PROBE = """
import sys
from pathlib import Path
from flows.terminal import cli, prefect_server

def starter():
    from prefect.settings import get_current_settings
    print(get_current_settings().server.ephemeral.startup_timeout_seconds, file=sys.stderr)
    raise SystemExit(0)

prefect_server.starter = starter
sys.argv = ["finetune", *sys.argv[1:]]
cli.main()
"""


_START = """
from flows.terminal import prefect_server
from tasks.azure.failure import Failure
try:
    prefect_server.start()
except Failure as failure:
    print(failure.cause.name, failure.do)
"""


_KILLED = """
import os, psutil, signal, sys, time
from urllib.parse import urlsplit
from flows.terminal import prefect_server
prefect_server.start()
from prefect.client.orchestration import get_client

def answering(client):
    assert client.hello().status_code == 200
    (server,) = psutil.Process().children()
    return server

with get_client(sync_client=True) as client:
    server = answering(client)
    assert "prefect.server.api.server" not in sys.modules
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        server.send_signal(number)
    assert answering(client) == server
    server.kill()
    while server in psutil.Process().children():
        time.sleep(0.02)
    assert answering(client) != server
print(urlsplit(os.environ["PREFECT_API_URL"]).port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.parametrize("command", [["history"], ["metrics", "--port", "0"], ["reap"], ["run", "local"]])
def test_the_temporary_server_has_time_to_start(command: list[str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command], cwd=ROOT, env=inherited, capture_output=True, text=True
    )
    assert "120" in done.stderr.split(), done.stderr


@pytest.mark.slow
def test_a_temporary_server_outlasts_signals_is_replaced_when_killed_and_ends_with_its_process(
    tmp_path: Path,
) -> None:
    """What signals a run may signal all of its processes, and the run needs the server to clear up."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED],
        cwd=ROOT,
        env=inherited | {"PREFECT_HOME": str(migrated(tmp_path))},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    told = f"Prefect's temporary server has ended (-{signal.SIGKILL}): another takes its place."
    assert killed.stderr.splitlines() == [told]
    assert holds(lambda: not _listens(int(killed.stdout)))


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_a_temporary_server_that_does_not_start_is_a_failure_of_prefect(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    no_time = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _START], cwd=ROOT, env=inherited | no_time, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{Cause.PREFECT.name} "), done.stderr
    assert "PREFECT_API_URL" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [["history"], ["reap"], ["run", "local"]])
def test_a_configured_server_that_is_down_is_reported_in_one_line_with_the_remedy(
    command: list[str], tmp_path: Path
) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    address = f"http://127.0.0.1:{free_port()}/api"
    own = {
        "PREFECT_API_URL": address,
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "AZUREML_LOCAL_STATE": str(tmp_path / "workspace"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "flows.terminal.cli", *command],
        cwd=ROOT,
        env={**inherited, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert address in line
    assert "prefect server start" in line
    assert "PREFECT_API_URL" in line
    assert "Traceback" not in done.stderr


def test_a_server_that_has_gone_is_named_whatever_asked_it(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    with (
        temporary_settings({PREFECT_API_URL: address}),
        get_client(sync_client=True) as client,
        pytest.raises(typer.Exit),
        reporting("nothing"),
    ):
        client.hello()
    said, details = capsys.readouterr().err.splitlines()
    assert said.startswith(f"Error: The Prefect server at {address} does not answer. Start it (")
    assert details == "ConnectError: [Errno 111] Connection refused"
