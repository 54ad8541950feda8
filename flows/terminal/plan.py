"""`finetune plan`: what a run would do, with what, for how much; it reads, and makes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from flows.terminal.recipes import ChangesOption, RecipeArgument
from flows.terminal.reporting import quiet, reporting

if TYPE_CHECKING:
    from rich.padding import Padding

    from flows.plan.plan import Plan
    from flows.run.config import Finetune

_WIDE = 32  # characters of the first column, where names are longer than that


def plan(
    recipe: RecipeArgument = "local",
    changes: ChangesOption = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask nobody: by the shipped catalogue, without credentials.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON on stdout.")] = False,
) -> None:
    """Say what a run would do, stage by stage, and what it would cost: reads only, starts nothing."""
    with reporting("nothing was changed"):
        from flows.run.config import load

        config = load(recipe, changes or ())
        found = _offline(config) if offline else _asked(config)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        show(found)
    raise typer.Exit(1 if found.problems else 0)


def show(plan: Plan, out: TextIO | None = None) -> None:
    """Print the plan, on stdout unless another file is given: folded to a terminal, whole lines elsewhere."""
    from rich.console import Console
    from rich.text import Text

    from flows.plan.sections import LEGEND, sections, title

    console = Console(file=out, highlight=False)
    console.soft_wrap = not console.is_terminal
    console.print(Text(title(plan), style="bold"))
    for section in sections(plan):
        console.print()
        console.print(Text(section.title, style="bold"))
        if console.is_terminal:
            console.print(_folded(section.rows))
        else:
            wide = min(max(len(name) for name, _ in section.rows), _WIDE)
            for name, says in section.rows:
                console.print(Text(f"  {name:{wide}}  {says}"))
        if section.title == "Stages":
            console.print(Text(f"  ({LEGEND})", style="dim"))


def _folded(rows: Sequence[tuple[str, str]]) -> Padding:
    """The rows between words, each part below its own."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    wide = min(max(len(name) for name, _ in rows), _WIDE)
    table.add_column(min_width=wide, max_width=wide, overflow="fold")
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return Padding(table, (0, 0, 0, 2), expand=False)


def _offline(config: Finetune) -> Plan:
    from flows.plan import shipped
    from flows.plan.making import plan_of

    return plan_of(config, shipped.facts(config))


def _asked(config: Finetune) -> Plan:
    """The plan by the workspace; what is logged meanwhile is in the plan as well."""
    from flows.terminal import prefect_server

    prefect_server.configure()
    from flows.run.workspace import opened

    with quiet("finetune"), opened(config.workspace.where, config.workspace.credentials):
        from flows.plan import history, workspace
        from flows.plan.making import plan_of

        return plan_of(config, workspace.facts(config, like=history.of_configured(config)))
