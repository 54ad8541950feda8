"""Blocks of commands that end by themselves and need nothing of Azure, typed as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun

from flows.operations.deployed_runs import deployment_id, scheduled
from tests.docs.documents import named
from tests.support import postgresql
from tests.support.checkout import ROOT
from tests.support.prefect_server import PrefectServer, end, serving
from tests.support.waiting import until

# What runs until it is stopped; tests/flows has tests of both.
_STAYS = ("prefect server start", "prefect worker start", "finetune metrics")

_COMMAND = re.compile(r"uv run (?:--extra local )?(prefect|finetune) .+")
# Commands of this project's environment, one a line, as their scripts would run them.
_IN_TURN = """
import shlex, sys
from importlib.metadata import entry_points

scripts = {each.name: each for each in entry_points(group="console_scripts")}
for line in sys.argv[1].splitlines():
    sys.argv = shlex.split(line)
    try:
        ended = scripts[sys.argv[0]].load()()
    except SystemExit as end:
        ended = end.code
    if ended:
        sys.exit(f"{line} ended with {ended}")
"""


def typed(text: str, cwd: Path, environment: dict[str, str]) -> str:
    """What the lines print; `uv run` takes the environment that there is, and this project from anywhere."""
    return said_by(
        ["bash", "-ec", text], text, cwd, {**environment, "UV_NO_SYNC": "1", "UV_PROJECT": str(ROOT)}
    )


def typed_in_turn(text: str, cwd: Path, environment: dict[str, str]) -> str:
    """The same of lines that are a command each: one process imports Prefect and the SDKs for all."""
    lines = text.splitlines()
    assert [line for line in lines if not _COMMAND.fullmatch(line)] == []
    commands = "\n".join(line[found.start(1) :] for line in lines if (found := _COMMAND.fullmatch(line)))
    return said_by([sys.executable, "-c", _IN_TURN, commands], text, cwd, environment)


def said_by(command: list[str], text: str, cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
def test_the_first_session_of_a_stranger(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    environment = {**os.environ, "AZUREML_LOCAL_STATE": str(tmp_path / "state")}
    said = typed(named("hello").text, tmp_path, environment)
    assert "RunId: " in said  # the SDK shows no log of a job that is over before its first look
    assert said.splitlines()[-1] in ("Completed", "JobStatus.COMPLETED")


@pytest.mark.slow
@pytest.mark.skipif(postgresql.programs() is None, reason="no PostgreSQL is installed")
def test_from_nothing_to_a_scheduled_run_and_its_history(tmp_path: Path) -> None:
    preparing, starting = ending(named("server").text)
    deploying, working = ending(named("operate").text)
    looking, serving_metrics = ending(named("history").text)
    assert len(starting) == len(working) == len(serving_metrics) == 1
    with postgresql.running() as address:
        database = {"DATABASE": address}
        typed(preparing, tmp_path, {**os.environ, **database, "PREFECT_HOME": str(tmp_path / "prefect")})
        with serving(tmp_path / "prefect", PREFECT_API_DATABASE_CONNECTION_URL=address) as server:
            typed_in_turn(f"{deploying}\n{named('schedule').text}", ROOT, server.environment)
            with server.client() as client:  # prefect.yaml is in ROOT
                assert len(client.read_deployments()) == 7
            history = deployment_id(server, "history/history")
            with staying(working[0], server), server.client() as client:
                run = until(lambda: over(scheduled(client, history)), "no scheduled run has ended")
            assert run.state is not None
            assert run.state.is_completed(), run.state.message
            said = typed_in_turn(looking, tmp_path, server.environment)
    assert said.strip().startswith("[")  # the failed runs as JSON: none
    assert "<html" in (tmp_path / "history.html").read_text(encoding="utf-8")
    assert "finetune_runs" in (tmp_path / "finetune.prom").read_text(encoding="utf-8")


def over(run: FlowRun | None) -> FlowRun | None:
    """The run, if it has ended: until the new schedule has made one, tomorrow's is the first by the clock."""
    return run if run is not None and run.state is not None and run.state.is_final() else None


@contextmanager
def staying(line: str, server: PrefectServer) -> Iterator[None]:
    """A command that runs until it is stopped, while the block runs."""
    server.extra |= {"UV_NO_SYNC": "1", "UV_PROJECT": str(ROOT)}
    process = server.spawn(["bash", "-c", f"exec {line}"], server.home / "worker.log", ROOT)
    try:
        yield
    finally:
        end(process)


def ending(text: str) -> tuple[str, list[str]]:
    """The lines that end by themselves, and the others."""
    lines = text.splitlines()
    stay = [line for line in lines if any(each in line for each in _STAYS)]
    return "\n".join(line for line in lines if line not in stay), stay
