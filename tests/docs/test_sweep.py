"""The page about sweeps shows what the program prints."""

from __future__ import annotations

import shlex

import pytest
from typer.testing import CliRunner

from flows.terminal import sweep
from flows.terminal.cli import app
from flows.trials.result import End, SweepReport, Tried, repeated, winner
from tests.docs.documents import named

RATE, SEED = "parameters.training.learning_rate", "parameters.training.seed"


def test_the_plan_is_what_is_printed() -> None:
    command, _, transcript = named("sweep-plan").text.partition("\n")
    words = shlex.split(command.removeprefix("$ uv run --extra local finetune "))
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.stderr
    assert said.stdout.strip() == transcript.strip()


def test_the_outcome_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    sweep.show(report_of(tried(1, "1e-4", 3.902), tried(2, "5e-4", 3.581), tried(3, "1e-3", 3.378)))
    assert printed(capsys) == shown("sweep-outcome")


def test_the_table_over_seeds_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    losses = {"5e-4": (3.581, 3.602, 3.566), "1e-3": (3.378, 3.401, 3.369)}
    rows = [
        tried(3 * at + seed, rate, loss, str(seed))
        for at, (rate, found) in enumerate(losses.items())
        for seed, loss in enumerate(found, 1)
    ]
    sweep.show(report_of(*rows))
    said = printed(capsys)
    assert said[said.index("settings", said.index("training\n")) :] == shown("sweep-over-seeds")


def tried(number: int, rate: str, loss: float, seed: str | None = None) -> Tried:
    return Tried(
        number=number,
        settings={RATE: rate, **({SEED: seed} if seed else {})},
        end=End.TRAINED,
        job=f"smollm2-135m-instruct-{number}",
        base_loss=4.025,
        eval_loss=loss,
        train_loss=loss - 0.05,
        dollars=0.0241,
        seconds=74.0,
    )


def report_of(*rows: Tried) -> SweepReport:
    return SweepReport(
        sweep="s", recipe="local", tried=rows, repeated=repeated(rows), winner=winner(rows), final=None
    )


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()).strip()


def shown(name: str) -> str:
    return named(name).text.strip()
