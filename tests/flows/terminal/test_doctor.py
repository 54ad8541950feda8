"""`finetune doctor` as a command: a line a finding, JSON alone on stdout, and an exit code to go by."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from flows.terminal.cli import app
from tests.support.tiny_recipe import RECIPE


@pytest.fixture(autouse=True)
def here(environment: dict[str, str], tiny: str) -> None:
    """A workspace, with what the tiny recipe needs."""


def finetune(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_a_good_recipe_ends_with_0() -> None:
    said = finetune(str(RECIPE))
    assert said.exit_code == 0, said.output
    lines = [line for line in said.stdout.splitlines() if not line.startswith(" ")]
    assert {line.split()[1] for line in lines} <= {"pass", "warn"}
    assert any(line.startswith("✓ pass  sign-in ") for line in lines)


def test_what_is_to_be_mended_is_below_its_line_and_ends_with_1() -> None:
    said = finetune(str(RECIPE), "--set", "deploy.instance_type=Standard_NC6s_v3")
    assert said.exit_code == 1
    lines = said.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("✗ fail  deployment size "))
    assert "cannot be deployed on Standard_NC6s_v3" in lines[at]
    assert "deploy.instance_type" in lines[at + 1]


def test_json_alone_is_on_stdout() -> None:
    said = finetune(str(RECIPE), "--set", "deploy.instance_type=Standard_NC6s_v3", "--json")
    assert said.exit_code == 1
    lines = json.loads(said.stdout)
    assert {line["check"] for line in lines if line["verdict"] == "fail"} == {"deployment size"}
    assert {"check", "verdict", "says", "do", "facts", "seconds"} <= lines[0].keys()


def test_a_wrong_recipe_is_one_line() -> None:
    said = finetune("nowhere")
    assert (said.exit_code, said.stdout) == (1, "")
    assert said.stderr.startswith("Error: There is no recipe 'nowhere'.")
