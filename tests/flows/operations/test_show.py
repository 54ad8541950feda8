"""The whole of it, as the README says: server, worker, deployments, a scheduled run that trains for real."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.checkout import ROOT

ARTIFACTS = {
    "finetune-data": ("markdown", "The data"),
    "finetune-job": ("markdown", "in the studio"),
    "finetune-parameters": ("table", "with their origin"),
    "finetune-plan": ("markdown", "What the run is about to do"),
    "finetune-progress": ("progress", "completed"),
    "finetune-run": ("table", "Proved, endpoint deleted"),
    "finetune-summary": ("markdown", "Proved, endpoint deleted"),
}
# Enough to learn something from: the README's run is of all of the recipe's rows, and with all its extras.
FEWER = (
    "--set=data.train.take=12",
    "--set=data.test.take=2",
    "--set=parameters.training.max_seq_length=96",
    "--set=evaluation.prompts=0",
    "--set=deploy.compare_with_base=false",
    "--set=invoke.max_new_tokens=8",
)
DEPLOYMENTS = "Deployed: ad-hoc, history, local, reap, sweep, watcher, weekly"


@pytest.mark.slow
def test_a_scheduled_run_completes_shows_its_artifacts_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.terminal.cli", "show", *FEWER],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert DEPLOYMENTS in said
    assert "Trigger: schedule" in said
    (outcome,) = [line for line in said if line.startswith("Completed: ")]
    assert outcome.startswith("Completed: Proved, endpoint deleted (404 at ")
    before, after = re.findall(r"held-out loss ([\d.]+) → ([\d.]+)", outcome)[0]
    assert float(after) < float(before)
    listed = {words[0]: line for line in said if (words := line.split()) and words[0] in ARTIFACTS}
    assert listed.keys() == ARTIFACTS.keys()
    for key, (kind, description) in ARTIFACTS.items():
        assert listed[key].split()[1] == kind
        assert description in listed[key]
    assert list(tmp_path.glob("finetune-show-*")) == []
    assert started_in(tmp_path) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port(said))) != 0


def port(said: list[str]) -> int:
    """The port of the server that was shown."""
    (line,) = [line for line in said if line.startswith("Prefect: ")]
    return int(line.split(":")[3].partition("/")[0])


def started_in(folder: Path) -> list[int]:
    """The processes of a Prefect home below the folder."""
    homes = [(each.pid, (each.info["environ"] or {})) for each in psutil.process_iter(["environ"])]
    return [pid for pid, variables in homes if variables.get("PREFECT_HOME", "").startswith(str(folder))]
