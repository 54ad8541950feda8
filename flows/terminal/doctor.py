"""`finetune doctor`: whether a recipe would run, by looking alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from flows.terminal.recipes import ChangesOption, RecipeArgument
from flows.terminal.reporting import quiet, reporting

if TYPE_CHECKING:
    from flows.doctor.check import Line
    from flows.run.config import Finetune

_MARKS = {"pass": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}


def doctor(
    recipe: RecipeArgument = "local",
    changes: ChangesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the lines as JSON on stdout.")] = False,
) -> None:
    """Say whether a recipe would run, and what to mend: reads only, starts nothing, costs nothing."""
    lines: list[Line] = []
    out = sys.stdout
    with reporting("nothing was changed"):
        from flows.terminal import prefect_server

        prefect_server.configure()
        from flows.run.config import load

        config = load(recipe, changes or ())
        lines += _told(_examined(config), None if as_json else out)
    if as_json:
        typer.echo(_json(lines))
    from flows.doctor.examination import passed

    raise typer.Exit(0 if passed(lines) else 1)


def _examined(config: Finetune) -> Iterator[Line]:
    """The checks' lines; the workspace's log is left out, as the lines say what is in it."""
    from flows.run.workspace import opened

    with quiet("finetune"), opened(config.workspace.where, config.workspace.credentials):
        from flows.doctor.examination import examine

        yield from examine(config)


def _told(lines: Iterable[Line], out: TextIO | None) -> Iterator[Line]:
    """The lines, each printed as it comes."""
    from rich.console import Console
    from rich.text import Text

    console = Console(file=out, highlight=False, soft_wrap=True)
    for line in lines:
        if out is not None:
            mark, colour = _MARKS[line.verdict.value]
            text = Text.assemble((f"{mark} {line.verdict.value}  ", colour), f"{line.check:17} ", line.says)
            console.print(text)
            if line.do:
                console.print(Text(f"{'':24} {line.do}", style="dim"))
        yield line


def _json(lines: Iterable[Line]) -> str:
    from pydantic import TypeAdapter

    from flows.doctor.check import Line

    return TypeAdapter(list[Line]).dump_json(list(lines), indent=2).decode()
