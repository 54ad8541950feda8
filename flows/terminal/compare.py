"""`finetune compare`: what differs between runs, in settings, data and outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from flows.terminal import table
from flows.terminal.reporting import reporting


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
        from flows.dashboard.difference import differing

        found = comparison.read(runs)
        rows = differing([each.row for each in found])
    if as_json:
        typer.echo(json.dumps({"runs": [each.run for each in found], "differ": rows}, indent=2))
    else:
        show([each.run for each in found], rows)


def show(runs: Sequence[str], rows: Mapping[str, Sequence[object]]) -> None:
    """The values, one a run, of everything in which the runs differ: a table on stdout."""
    from flows.dashboard.difference import headings, shown

    lines = [[name, *map(shown, values)] for name, values in rows.items()]
    table.show(["", *headings(runs)], lines, f"{len(runs)} runs differ in {len(rows)} things")
