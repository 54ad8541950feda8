"""Every command of the README is one that the project takes; what is typed first is run as it stands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from azureml_local.cli import app as azureml_local
from azureml_local.state.faults import read
from flows.run.config import load
from flows.terminal.cli import app as finetune
from tests.support.checkout import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = {"finetune": finetune, "azureml-local": azureml_local}


def named(name: str) -> str:
    """The block under the marker of that name, which `.ci/run` looks for as well."""
    found = re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", README, re.DOTALL)
    assert found, f"the README has no command {name!r}"
    return found[1]


def block(language: str, first: str) -> str:
    """The block of that language which begins with that line."""
    found = re.search(rf"```{language}\n({re.escape(first)}\n.*?)```", README, re.DOTALL)
    assert found, f"the README has no block {first!r}"
    return found[1]


def commands() -> Iterator[list[str]]:
    """What each `uv run` of the README runs, in blocks and within sentences."""
    blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", README, re.DOTALL)).replace("$ ", "")
    inline = "\n".join(re.findall(r"`(uv run [^`]+)`", README))
    for line in (*blocks.splitlines(), *inline.splitlines()):
        for part in re.split(r";|&&|>", line.partition(" #")[0]):
            words = shlex.split(part)
            if words[:2] == ["uv", "run"]:
                yield program(words[2:])


def program(words: list[str]) -> list[str]:
    """The program that `uv run` runs, without uv's own options."""
    while words[0].startswith("--"):
        words = words[2:] if words[0] in ("--extra", "--group") else words[1:]
    return words


COMMANDS = {" ".join(words): words for words in commands()}


def test_the_two_commands_are_one_line_each() -> None:
    for name in ("run", "test"):
        assert "\n" not in named(name)


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.split()[0] in PROGRAMS])
def test_a_program_takes_its_arguments(line: str) -> None:
    program, *arguments = COMMANDS[line]
    name, *rest = arguments
    command: Any = get_command(PROGRAMS[program])
    with command.commands[name].make_context(name, rest) as parsed:
        if (program, name) == ("finetune", "run"):
            load(parsed.params["recipe"], parsed.params["changes"] or [])


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("python -m ")])
def test_a_module_exists(line: str) -> None:
    assert importlib.util.find_spec(COMMANDS[line][2]) is not None


def test_its_links_lead_somewhere() -> None:
    links = {link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link}
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_faults_are_rules(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text(block("yaml", "# faults.yaml"), encoding="utf-8")
    assert len(read(file)) == 5


def test_the_first_session_of_a_stranger(tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text(block("python", "# hello.py"), encoding="utf-8")
    program = [sys.executable, "-m", "azureml_local"]
    environment = {**os.environ, "AZUREML_LOCAL_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    names = subprocess.run([*program, "config"], env=environment, check=True, capture_output=True)
    (tmp_path / "config.json").write_bytes(names.stdout)
    done = subprocess.run(
        [*program, "exec", "--", sys.executable, "hello.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] in ("Completed", "JobStatus.COMPLETED")
    assert "trained" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_main_job(tmp_path: Path) -> None:
    """The real run on the bundled sample, twice: the second finds what the first has made."""
    first = run_as_written(named("run"), tmp_path)
    assert first["outcome"] == "completed"
    assert first["eval_loss"] < first["base_loss"] - 0.2
    assert first["answer"] not in ("", first["base_answer"])
    assert first["prompt"]
    assert first["ground_truth"]
    assert first["model_version"] == "1"
    assert first["deletion"]["state"] == "deleted"
    assert {"data", "train", "deploy", "invoke", "delete"} <= set(first["seconds_by_stage"])
    assert first["reused"] == []

    second = run_as_written(named("run"), tmp_path)
    assert second["job"] == first["job"]
    assert second["training_usd"] == 0
    assert {"kind": "job", "name": first["job"], "run": first["run"]} in second["reused"]
    assert "train" not in second["seconds_by_stage"]


def run_as_written(line: str, home: Path) -> dict[str, Any]:
    """The report of the README's line, run by somebody who has nothing in their home directory."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "HOME": str(home),
        "UV_NO_SYNC": "1",  # the packages are here already
    }
    done = subprocess.run(
        ["bash", "-c", f"{line} --json"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report
