"""`finetune reap`: what has outlived its lease is deleted, here and now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting
from flows.terminal.table import show

if TYPE_CHECKING:
    from flows.reap import Reaping, Unfinished
    from tasks.sign_in import Workspace


def reap(
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted, and what it costs.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was found and done as JSON on stdout.")
    ] = False,
) -> None:
    """Delete endpoints, deployments and clusters of past runs that have outlived their leases."""
    with reporting("what was not reached stays"):
        from flows.terminal import prefect_server

        prefect_server.start()
        reaping, unfinished = _reap(workspace(where, recipe, name, credentials), dry_run)
    if as_json:
        typer.echo(reaping.model_dump_json(indent=2))
    else:
        _show(reaping)
    if unfinished is not None:
        with reporting("what was not reached stays"):
            raise unfinished


def _reap(place: Workspace, dry_run: bool) -> tuple[Reaping, Unfinished | None]:
    """What was done, which is to be shown also where something could not be."""
    from flows import reap as flow

    try:
        return flow.reap(place, dry_run), None
    except flow.Unfinished as unfinished:
        if unfinished.reaping is None:
            raise
        return unfinished.reaping, unfinished


def _show(reaping: Reaping) -> None:
    """Print what carries a lease, and what became of it."""
    from flows.reap import headline, rows

    table = []
    for row in rows(reaping):
        what = "would be deleted" if reaping.dry_run and row["past its lease"] else row["what became of it"]
        price = f"{row['dollars an hour']:.2f}"
        table.append((row["thing"], row["state"], row["owner"], row["lease ends"], price, what))
    show(("", "state", "owner", "lease ends", "$ an hour", ""), table, headline(reaping))
