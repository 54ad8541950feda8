"""The history as one HTML file that needs nothing beside it: no network, no server, no library."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from markupsafe import Markup

from flows.dashboard import beside, charts, recipes
from flows.dashboard.run import STATES, RunRecord
from flows.dashboard.table import COLUMNS, RIGHT, Column, stages
from flows.dashboard.trends import Series, failures, trends
from flows.run import figures
from tasks.azure.failure import Cause
from tasks.core.stages import in_order

_HERE = Path(__file__).parent
_MOST_CAUSES = 8

# A cell is a text, or a number to sort by and the text that is shown.
Cell = str | tuple[float | None, str]


@dataclass(frozen=True)
class Tile:
    """One figure that sums the history up."""

    name: str
    value: str
    note: str = ""


def page(runs: Sequence[RunRecord], *, prefect: str | None = None, now: datetime | None = None) -> str:
    """The page of these runs; `prefect` is the address of Prefect's UI, where each run has its own page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    now = now or datetime.now(UTC)
    jinja = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    drawn = trends(runs, now)
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return jinja.get_template("page.html").render(
        now=now,
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
        tiles=tiles(runs, now),
        trends=[(trend, Markup(charts.chart(trend))) for trend in drawn],
        failures=_matrix(runs),
        recipes=recipes.by_recipe(runs, now),
        of_recipes=recipes.HEAD,
        choices=_choices(runs),
        columns=[column.name for column in COLUMNS],
        numeric=RIGHT,
        runs=len(runs),
        data=_data(runs, prefect, drawn[0].series),
    )


def tiles(runs: Sequence[RunRecord], now: datetime) -> tuple[Tile, ...]:
    """What people ask first: how many, how reliable, how expensive, how long, what is up at this moment."""
    ended = [run for run in runs if run.ended is not None or run.unsuccessful or run.state == "completed"]
    completed = [run for run in runs if run.state == "completed"]
    took = [run.seconds for run in completed if run.seconds is not None]
    queued = [run.queued_seconds for run in completed if run.queued_seconds is not None]
    month = now - timedelta(days=30)
    spent = sum(run.cost_usd or 0 for run in runs)
    recent = sum(run.cost_usd or 0 for run in runs if run.when >= month)
    running = sum(run.state in ("running", "cancelling") for run in runs)
    waiting = sum(run.state in ("pending", "paused", "scheduled") for run in runs)
    live = [run for run in runs if run.serves(now)]
    return (
        Tile("runs", figures.count(len(runs)), f"{sum(run.when >= month for run in runs):,} in 30 days"),
        Tile(
            "completed",
            figures.share(len(completed), len(ended)),
            f"{len(ended) - len(completed):,} did not",
        ),
        Tile("spent", figures.dollars(spent), f"{figures.dollars(recent)} in 30 days"),
        Tile(
            "median duration",
            figures.duration(median(took) if took else None),
            f"{figures.duration(median(queued))} queued" if queued else "",
        ),
        Tile("running now", figures.count(running), f"{waiting:,} waiting" if waiting else ""),
        Tile("endpoints kept", figures.count(len(live)), ", ".join(run.endpoint or "" for run in live[:2])),
    )


@dataclass(frozen=True)
class Matrix:
    """Failures by stage and cause: the causes are the columns; each number has its share of the greatest."""

    causes: tuple[Cause, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]


def _matrix(runs: Sequence[RunRecord]) -> Matrix:
    counted = failures(runs)
    by_cause: dict[Cause, int] = {}
    for (_, cause), times in counted.items():
        by_cause[cause] = by_cause.get(cause, 0) + times
    causes = tuple(sorted(by_cause, key=lambda cause: (-by_cause[cause], cause))[:_MOST_CAUSES])
    most = max((counted[key] for key in counted if key[1] in causes), default=1)
    stages = in_order({stage for stage, cause in counted if cause in causes})
    return Matrix(
        causes,
        tuple(
            (stage, tuple((counted[stage, cause], counted[stage, cause] / most) for cause in causes))
            for stage in stages
        ),
    )


def _choices(runs: Sequence[RunRecord]) -> dict[str, list[str]]:
    """What each filter offers: the values that occur."""
    states = {run.state for run in runs}
    return {
        "state": [state for state in STATES if state in states],
        "recipe": sorted({run.recipe for run in runs}),
        "model": sorted({run.base for run in runs}),
        "trigger": sorted({run.trigger for run in runs}),
    }


def _data(runs: Sequence[RunRecord], prefect: str | None, stages: Sequence[Series]) -> dict[str, Any]:
    """The table's rows for the script: what is shown is formatted here, what it is sorted by goes with it."""
    settings = beside.settings(runs)
    return {
        "columns": [column.name for column in COLUMNS],
        "numeric": sorted(RIGHT),
        "settings": settings,
        "outcome": list(beside.OUTCOME),
        "rows": [
            {
                "id": run.id,
                "at": int(run.when.timestamp()),
                "cells": [_cell(run, column) for column in COLUMNS],
                "model": run.base,
                "bar": _bar(run, stages),
                "facts": [fact for fact in _facts(run, prefect) if fact[1]],
                **beside.line(run, settings),
            }
            for run in runs
        ],
    }


def _cell(run: RunRecord, column: Column) -> Cell:
    text = column.text(run)
    return text if column.number is None else (column.number(run), text)


def _bar(run: RunRecord, stages: Sequence[Series]) -> list[tuple[int, int]]:
    """The colour and the share, in per cent, of each stage as the chart of durations has them."""
    total = sum(run.seconds_by_stage.values())
    if not total or not stages:
        return []
    shares = {stage.colour: run.seconds_by_stage.get(stage.name, 0) / total for stage in stages}
    rest = stages[-1].colour  # the series of all others, where there is one
    shares[rest] += max(0.0, 1 - sum(shares.values()))
    return [(colour, round(100 * share)) for colour, share in shares.items()]


def _facts(run: RunRecord, prefect: str | None) -> list[tuple[str, str, str | None]]:
    """What a row says when it is opened: a name, a text and, where there is one, an address."""
    where = f" at {run.failed_stage}" if run.failed_stage else ""
    paid = f"training {figures.dollars(run.training_usd)}, serving {figures.dollars(run.serving_usd)}"
    return [
        ("outcome", f"{run.state}{where}: {run.cause}" if run.cause else "", None),
        ("said", run.failure or run.message, None),
        ("stages", stages(run), None),
        ("model", run.registered or "", None),
        (
            "endpoint",
            f"{run.endpoint}, {run.deletion or 'state unknown'}" if run.endpoint else "",
            None,
        ),
        ("cost", paid if run.cost_usd else "", None),
        ("train loss", figures.loss(run.train_loss) if run.train_loss is not None else "", None),
        ("reused", ", ".join(map(str, run.reused)), None),
        ("data", f"{run.data_share} of the training split" if run.data_share else "", None),
        ("job", run.job or "", _address(run.studio_url)),
        ("flow run", run.name, f"{prefect.rstrip('/')}/runs/flow-run/{run.id}" if prefect else None),
    ]


def _address(url: str | None) -> str | None:
    """The address if a browser may follow it: what a run reports is not trusted to be one."""
    return url if url and url.startswith(("https://", "http://")) else None
