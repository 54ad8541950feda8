"""Every command that the documentation names is one that its program takes, with these arguments."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from typing import Any

import pytest
from typer.main import get_command

from azureml_local.cli import app as azureml_local
from flows.run.config import load
from flows.terminal.cli import app as finetune
from tests.docs.documents import Command, blocks, commands, parts, program
from tests.support.checkout import ROOT

COMMANDS = commands()

# What is no program of this project, and which of its commands the documentation may name.
OTHERS = {
    "uv": re.compile(
        r"uv (sync|lock|build|tree)"
        r"( --locked| --no-default-groups| --extra (local|blob)| --all-packages| --package torch)*"
    ),
    "az": re.compile(r"az (login|provider register --namespace Microsoft\.MachineLearningServices)"),
    "export": re.compile(r"export (PATH=\$PATH:\$PWD/\.uv/bin|PREFECT_\w+=.*|FINETUNE_IMAGE=\S+)"),
    "docker": re.compile(r"docker (build --file deploy/Dockerfile --tag \S+ \.|push \S+)"),
    "command": re.compile(r"command -v uv"),
    "python3": re.compile(r"python3 -m pip install -q --target \.uv uv"),
    "pre-commit": re.compile(r"pre-commit install"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_its_program_takes_it(command: Command) -> None:
    name, *arguments = program(command)
    if name.startswith(("scripts/", ".ci/")):
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} is not executable"
    elif name in CHECKS:
        CHECKS[name](arguments)
    else:
        assert OTHERS[name].fullmatch(" ".join(command.words if name == "uv" else [name, *arguments]))


def test_all_kinds_of_commands_are_there() -> None:
    """What looks for commands has not gone blind."""
    assert {program(command)[0] for command in COMMANDS} >= {*CHECKS, "uv", "scripts/test"}


@pytest.mark.parametrize(("name", "app"), [("finetune", finetune), ("azureml-local", azureml_local)])
def test_every_command_of_a_program_is_documented(name: str, app: Any) -> None:
    named = {program(command)[1] for command in COMMANDS if program(command)[0] == name}
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    assert {name for name, command in commands.items() if not command.hidden} - named == set()


def test_every_block_of_commands_has_a_name_of_its_own() -> None:
    names = [block.name or str(block) for block in blocks("sh")]
    assert [name for name in names if ":" in name or names.count(name) > 1] == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a b; c 'd e'", [("a", "b"), ("c", "d e")]),
        ("a > b", [("a",)]),
        ("a  # why", [("a",)]),
        ("command -v uv >/dev/null || a", [("command", "-v", "uv"), ("a",)]),
    ],
)
def test_a_line_has_several_commands(line: str, found: list[tuple[str, ...]]) -> None:
    assert list(parts(line)) == found


def _finetune(arguments: list[str]) -> None:
    if arguments == ["--help"]:
        return
    name, *rest = arguments
    command: Any = get_command(finetune)
    with command.commands[name].make_context(name, rest) as parsed:
        if name == "run":
            load(parsed.params["recipe"], parsed.params["changes"] or [])


def _azureml_local(arguments: list[str]) -> None:
    name, *rest = arguments
    command: Any = get_command(azureml_local)
    with command.commands[name].make_context(name, rest):
        pass


def _prefect(arguments: list[str]) -> None:
    from prefect.cli._app import _app as app  # the public one parses and runs

    rest = [argument for argument in arguments if argument != "--no-prompt"]
    app.parse_args(rest, print_error=False, exit_on_error=False)


def _python(arguments: list[str]) -> None:
    if arguments[0] == "-m":
        assert importlib.util.find_spec(arguments[1]) is not None
    else:
        assert arguments == ["your_script.py"] or (ROOT / arguments[0]).is_file()


def _pytest(arguments: list[str]) -> None:
    assert arguments == ["-n", "4", "--dist", "loadfile"]  # as `.ci/run` reads it from the README


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "finetune": _finetune,
    "azureml-local": _azureml_local,
    "prefect": _prefect,
    "python": _python,
    "pytest": _pytest,
}
