"""What the page shows of runs that are put beside each other there: their settings, metrics and dollars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flows.dashboard.difference import differing, shown
from flows.dashboard.run import RunRecord
from flows.run import figures

Value = TypeVar("Value")

# "" is what a run does not have: the page leaves a line out that no run has anything in.
OUTCOME: dict[str, Callable[[RunRecord], str]] = {
    "state": lambda run: f"{run.state}, {run.cause}" if run.cause else run.state,
    "gate": lambda run: run.gate or "",
    "eval loss": lambda run: figures.losses(run.base_loss, run.eval_loss) or "",
    "train loss": lambda run: _known(run.train_loss, figures.loss),
    "ROUGE-L": lambda run: figures.losses(run.base_rouge_l, run.rouge_l) or "",
    "chrF": lambda run: figures.losses(run.base_chrf, run.chrf) or "",
    "better answers": lambda run: _known(run.win_rate, lambda rate: f"{rate:.0%}"),
    "rows": lambda run: _known(run.rows, figures.count),
    "duration": lambda run: _known(run.seconds, figures.duration),
    "queued": lambda run: _known(run.queued_seconds, figures.duration),
    "training": lambda run: _known(run.training_usd, figures.dollars),
    "serving": lambda run: _known(run.serving_usd, figures.dollars),
    "cost": lambda run: _known(run.cost_usd, figures.dollars),
}


def settings(runs: Sequence[RunRecord]) -> list[tuple[str, list[str]]]:
    """Each setting in which any of the runs differ, with its values, the commonest first."""
    return [
        (name, [text for text, _ in Counter(map(shown, values)).most_common()])
        for name, values in differing([run.settings for run in runs]).items()
    ]


def line(run: RunRecord, settings: Sequence[tuple[str, list[str]]]) -> dict[str, Any]:
    """The outcome, and which value of each setting it has, as pairs of numbers, but for the commonest."""
    places = [(at, texts.index(shown(run.settings.get(name)))) for at, (name, texts) in enumerate(settings)]
    return {
        "set": [number for pair in places if pair[1] for number in pair],
        "got": [text(run) for text in OUTCOME.values()],
    }


def _known(value: Value | None, text: Callable[[Value], str]) -> str:
    return "" if value is None else text(value)
