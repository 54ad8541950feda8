"""`finetune compare`: what differs between runs, in settings, data and outcome."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.terminal.reporting import reporting
from flows.terminal.table import show


def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN…", help="Ids, the beginnings of ids, or names of runs.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON on stdout.")] = False,
) -> None:
    """Say in what runs differ: settings, data, losses, scores, times and costs."""
    with reporting("nothing was changed"):
        from flows.terminal import prefect_server

        prefect_server.start()
        from flows.dashboard import comparison

        found = comparison.read(runs)
        rows = comparison.differing(found)
    if as_json:
        typer.echo(json.dumps({"runs": [each.run for each in found], "differ": rows}, indent=2))
        return
    lines = [[name, *map(_cell, values)] for name, values in rows.items()]
    show(["", *(each.run[:8] for each in found)], lines, f"{len(found)} runs differ in {len(rows)} things")


def _cell(value: object) -> str:
    return "" if value is None else str(value)
