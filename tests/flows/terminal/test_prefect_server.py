"""Prefect reads its settings when it is imported: every command must have made them by then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.azure.failure import Cause
from tests.support.checkout import ROOT

# Instead of a server, say which time-out its start would have had.
_PROBE = """
import sys
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


@pytest.mark.parametrize("command", [["history"], ["metrics", "--port", "0"], ["reap"], ["run", "local"]])
def test_the_temporary_server_has_time_to_start(command: list[str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command], cwd=ROOT, env=inherited, capture_output=True, text=True
    )
    assert "120" in done.stderr.split(), done.stderr


def test_a_temporary_server_that_does_not_start_is_a_failure_of_prefect(tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    no_time = {"PREFECT_HOME": str(tmp_path), "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", _START], cwd=ROOT, env=inherited | no_time, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{Cause.PREFECT.name} "), done.stderr
    assert "PREFECT_API_URL" in done.stdout
