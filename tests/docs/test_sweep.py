"""The page about sweeps shows what the program prints."""

from __future__ import annotations

import shlex

from typer.testing import CliRunner

from flows.terminal.cli import app
from tests.docs.documents import named


def test_the_plan_is_what_is_printed() -> None:
    command, _, transcript = named("sweep-plan").text.partition("\n")
    words = shlex.split(command.removeprefix("$ uv run --extra local finetune "))
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.stderr
    assert said.stdout.strip() == transcript.strip()
