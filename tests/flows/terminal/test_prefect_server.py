"""Prefect reads its settings when it is imported: every command must have made them by then."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


@pytest.mark.parametrize("command", [["history"], ["metrics", "--port", "0"], ["reap"], ["run", "local"]])
def test_the_temporary_server_has_time_to_start(command: list[str]) -> None:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command], cwd=ROOT, env=inherited, capture_output=True, text=True
    )
    assert "120" in done.stderr.split(), done.stderr
