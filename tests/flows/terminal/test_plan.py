"""`finetune plan` as a command, and the question that `finetune run` asks."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner, Result

from flows.terminal import run
from flows.terminal.cli import app
from tests.docs.documents import named
from tests.flows.conftest import MakeConfig
from tests.support.checkout import ROOT
from tests.support.imports import HEAVY, PROFILED, packages
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import RECIPE

# Its exceptions, by which a list of sizes that may not be read is told; the SDKs are not.
_LIGHT = {"azure"}


def finetune(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", *arguments])


@pytest.mark.slow
def test_offline_needs_neither_prefect_nor_an_sdk() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.terminal.cli", "plan", "phi-4-ultrachat", "--offline", "--json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **PROFILED},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["base_model"] == "Phi-4:8"
    assert packages(done.stderr) & ((HEAVY | {"numpy", "fsspec"}) - _LIGHT) == set()


def test_the_transcript_in_the_docs_is_what_is_printed() -> None:
    command, _, transcript = named("plan-offline").text.partition("\n")
    assert command == "$ uv run --extra local finetune plan phi-4-ultrachat --offline"
    said = finetune("phi-4-ultrachat", "--offline")
    assert said.exit_code == 0
    assert said.stdout.strip() == transcript.strip()


def test_a_terminal_has_whole_words_and_nothing_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = finetune("phi-4-ultrachat", "--offline").stdout
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    narrow = re.sub(r"\x1b\[[\d;]*m", "", finetune("phi-4-ultrachat", "--offline").stdout)
    assert max(map(len, narrow.splitlines())) <= 60
    short = {word for word in plain.split() if len(word) < 25}
    assert short - set(narrow.split()) == set()
    assert "…" not in narrow


def test_what_would_fail_is_said_and_ends_with_1() -> None:
    said = finetune("phi-4-ultrachat", "--offline", "--set", "deploy.instance_type=Standard_NC6s_v3")
    assert said.exit_code == 1
    assert "A run would fail" in said.stdout
    assert "cannot be deployed on Standard_NC6s_v3" in said.stdout


def test_a_wrong_recipe_is_one_line() -> None:
    said = finetune("nowhere")
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.startswith("Error: There is no recipe 'nowhere'.")


def test_the_workspace_is_asked(environment: dict[str, str], tiny: str) -> None:
    said = finetune(str(RECIPE), "--json")
    assert said.exit_code == 0, said.output
    plan = json.loads(said.stdout)
    assert (plan["offline"], plan["base_model"]) == (False, f"{tiny}:1")
    assert plan["quota"]


@contextmanager
def at_a_terminal(typed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While the block runs, this process has a terminal at which that has been typed."""
    person, program = pty.openpty()
    os.write(person, typed.encode())
    with (
        monkeypatch.context() as patch,
        open(person, "rb", 0),
        open(program, "w") as stderr,
        open(os.dup(program)) as stdin,
    ):
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stderr", stderr)
        yield


@pytest.mark.slow
def test_a_run_that_is_billed_asks_at_a_terminal(
    config: MakeConfig, prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    billed = config("workspace.where=azure")
    with at_a_terminal("n\n", monkeypatch), pytest.raises(KeyboardInterrupt, match="nothing was started"):
        run._plan(billed, yes=False)
    with at_a_terminal("y\n", monkeypatch):
        run._plan(billed, yes=False)
    with at_a_terminal("", monkeypatch):
        run._plan(billed, yes=True)
    with at_a_terminal("", monkeypatch):
        run._plan(config(), yes=False)


def test_without_a_terminal_nobody_is_asked(
    config: MakeConfig, prefect_server: PrefectServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run._plan(config("workspace.where=azure"), yes=False)
    said = capsys.readouterr()
    assert "Stages" in said.err
    assert said.out == ""
    run._plan(config("base.name=no-such-model"), yes=False)
    assert "No plan beforehand" in capsys.readouterr().err
