"""`finetune history`: all runs as a table, JSON, a page or metrics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.reporting import Where, reporting

if TYPE_CHECKING:
    from flows.dashboard.run import RunRecord
    from flows.dashboard.selection import Selection

_SHOWN = 25  # runs in a terminal, unless a limit is given


def history(
    state: Annotated[
        list[str] | None, typer.Option(help="Only runs in this state; may be repeated, or a,b.")
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Only runs of this recipe.")] = None,
    model: Annotated[str | None, typer.Option(help="Only runs of models with this in their name.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Only runs since 2026-03-01, or since 36h, 14d, 8w ago."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Show the N newest runs.")] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page: one file that needs no network.")
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the metrics in Prometheus' text format.")
    ] = None,
    mlflow: Annotated[
        Where | None, typer.Option(help="Ask this workspace's MLflow for losses that a run could not report.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every run as JSON on stdout.")] = False,
) -> None:
    """List all runs: when, what, how long, at what cost, how good; as a table, JSON, a page or metrics."""
    with reporting("nothing was written"):
        from flows.terminal import prefect_server

        prefect_server.configure()  # before the first import of Prefect, which reads it
        from flows.dashboard.selection import select

        listed = not (as_json or html or metrics)
        most = limit if limit is not None or not listed else _SHOWN
        runs = read(select(state or (), recipe, model, since, most), mlflow)
        if html or metrics:
            from flows.history import write_metrics, write_page

            written = [write_page(runs, html)] if html else []
            written += [write_metrics(runs, metrics)] if metrics else []
            typer.echo(f"{len(runs):,} runs in {' and '.join(written)}", err=True)
    if as_json:
        typer.echo(json.dumps([run.model_dump(mode="json") for run in runs], indent=2))
    elif listed:
        from flows.dashboard.table import show

        show(runs)


def read(selection: Selection, losses_of: Where | None = None) -> list[RunRecord]:
    """The runs that Prefect knows, with losses from MLflow if asked; raises Failure when either is away."""
    import asyncio

    from flows.terminal import prefect_server

    prefect_server.start()
    from flows.dashboard import reader

    runs = asyncio.run(reader.read(selection))
    if losses_of is None:
        return runs
    from flows.dashboard import losses
    from tasks.sign_in import Workspace

    return losses.completed(runs, Workspace(where=losses_of.value))
