"""The history: every run of the fine-tune in one table, as a page, as artifacts and as metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.settings import get_current_settings
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from flows.artifacts.markdown import table
from flows.dashboard import charts, reader, recipes
from flows.dashboard.page import page, tiles
from flows.dashboard.run import RunRecord, State
from flows.dashboard.selection import select
from flows.dashboard.table import lines
from flows.dashboard.trends import failures, trends
from flows.run.prefect_api import is_lasting
from flows.run.signature import Shown
from tasks.azure.errors import explained
from tasks.azure.failure import Cause, Failure
from tasks.core.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from tasks.core.display import displaying
from tasks.core.stage import logger

KEY = "finetune-history"
_LINES = 200  # of the table in Prefect, which has no pages


class HistoryReport(BaseModel):
    """How many runs were shown, and where the page and the metrics were written."""

    model_config = ConfigDict(frozen=True)

    runs: int
    page: str | None = None
    metrics: str | None = None


@flow(name="history", flow_run_name="history")
def history(
    states: Annotated[list[State] | None, Shown("Only runs in these states.")] = None,
    recipe: Annotated[str | None, Shown("Only runs of this recipe.")] = None,
    model: Annotated[str | None, Shown("Only runs of models with this in their name.")] = None,
    since: Annotated[str | None, Shown("Only runs since a date, or since so long ago: 36h, 14d, 8w.")] = None,
    page_file: Annotated[str | None, Shown("Write the page, one self-contained HTML file, here.")] = None,
    metrics_file: Annotated[str | None, Shown("Write the metrics here, in Prometheus' text format.")] = None,
) -> HistoryReport:
    """Show every run of the fine-tune: a table, charts over time, and both as one file for elsewhere."""
    with explained():
        runs = asyncio.run(reader.read(select(states or (), recipe, model, since)))
        now = datetime.now(UTC)
        report = HistoryReport(
            runs=len(runs),
            page=write_page(runs, Path(page_file), now) if page_file else None,
            metrics=write_metrics(runs, Path(metrics_file), now) if metrics_file else None,
        )
        publish(runs, report, now)
    said = f"{len(runs):,} run{'' if len(runs) == 1 else 's'}"
    logger().info("The history of %s", said)
    return Completed(message=said, data=report)  # type: ignore[return-value]


def publish(runs: Sequence[RunRecord], report: HistoryReport, now: datetime) -> None:
    """Prefect's artifacts of the history; their keys stay, so that each has a history itself."""
    with displaying():
        create_markdown_artifact(summary(runs, now), key=KEY, description="All runs in figures")
        create_table_artifact(
            lines(runs[:_LINES]), key=f"{KEY}-runs", description=f"The newest {min(len(runs), _LINES)} runs"
        )
        for trend in trends(runs, now):
            if not trend.empty:
                create_image_artifact(
                    charts.picture(trend), key=f"{KEY}-{trend.key}", description=trend.title
                )
        if report.page:
            create_link_artifact(
                Path(report.page).as_uri(), link_text=report.page, key=f"{KEY}-page", description="The page"
            )


def summary(runs: Sequence[RunRecord], now: datetime) -> str:
    """The figures and the failures as Markdown."""
    if not runs:
        return "No run of the fine-tune yet. Start one: `finetune run local`"
    found = [[tile.name, f"**{tile.value}**", tile.note] for tile in tiles(runs, now)]
    costs = [cost.cells for cost in recipes.by_recipe(runs, now)]
    lost = [[stage, cause, str(times)] for (stage, cause), times in failures(runs).most_common()]
    parts = ["# Runs", table(["figure", "value", "note"], found)]
    parts += ["## Cost by recipe", table(recipes.HEAD, costs, right=range(1, len(recipes.HEAD)))]
    if lost:
        parts += ["## Failures", table(["stage", "cause", "runs"], lost, right=(2,))]
    return "\n\n".join(parts)


def write_page(runs: Sequence[RunRecord], file: Path, now: datetime | None = None) -> str:
    """Write the page and return where it is; raises Failure when that cannot be written."""
    return _written(file, page(runs, prefect=_ui(), now=now))


def write_metrics(runs: Sequence[RunRecord], file: Path, now: datetime | None = None) -> str:
    """Write the metrics, whole or not at all, for a collector of text files; returns where they are."""
    from flows.dashboard.prometheus import exposition

    part = file.with_name(f".{file.name}.part")
    _written(part, exposition(runs, now))
    part.replace(file)
    return str(file.resolve())


def _written(file: Path, text: str) -> str:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(
            f"{file} cannot be written: {error.strerror}.",
            "Name a file in a directory that exists.",
            cause=Cause.CONFIGURATION,
        ) from error
    return str(file.resolve())


def _ui() -> str | None:
    """The address of Prefect's UI; a temporary server has none that would answer tomorrow."""
    return get_current_settings().ui_url if is_lasting() else None
