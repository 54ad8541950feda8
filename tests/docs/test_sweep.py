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
    """The losses, dollars and seconds of the run in the picture."""
    first = tried(1, "1e-4", 3.906, train_loss=3.891, dollars=0.0749, seconds=410.8)
    second = tried(2, "5e-4", 3.556, train_loss=3.622, seconds=196.0)
    third = tried(3, "1e-3", 3.464, train_loss=3.552, seconds=247.0)
    sweep.show(report_of(first, second, third))
    assert printed(capsys) == shown("sweep-outcome")


def test_the_table_over_seeds_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    losses = {"5e-4": (3.556, 3.577, 3.541), "1e-3": (3.464, 3.487, 3.455)}
    rows = [
        tried(3 * at + seed, rate, loss, str(seed))
        for at, (rate, found) in enumerate(losses.items())
        for seed, loss in enumerate(found, 1)
    ]
    sweep.show(report_of(*rows))
    said = printed(capsys)
    assert said[said.index("settings", said.index("training\n")) :] == shown("sweep-over-seeds")


def tried(number: int, rate: str, loss: float, seed: str | None = None, **over: float) -> Tried:
    row = Tried(
        number=number,
        settings={RATE: rate, **({SEED: seed} if seed else {})},
        end=End.TRAINED,
        job=f"smollm2-135m-instruct-{number}",
        base_loss=4.025,
        eval_loss=loss,
        dollars=0.0458,
    )
    return row.model_copy(update=over)


def report_of(*rows: Tried) -> SweepReport:
    return SweepReport(
        sweep="s", recipe="local", tried=rows, repeated=repeated(rows), winner=winner(rows), final=None
    )


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()).strip()


def shown(name: str) -> str:
    return named(name).text.strip()
