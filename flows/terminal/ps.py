"""`finetune ps`: what runs at this moment, and what it costs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from flows.run.live import Live
    from tasks.sign_in import Workspace


def ps(
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON on stdout.")] = False,
) -> None:
    """List live runs, and jobs, endpoints and clusters of runs with age, lease and dollars an hour."""
    with reporting("nothing was changed"):
        from flows.terminal import prefect_server

        prefect_server.start()
        live = _live(workspace(where, recipe, name, credentials))
    if as_json:
        typer.echo(live.model_dump_json(indent=2))
    else:
        _show(live)
    if live.unseen:
        for what, why in live.unseen.items():
            typer.echo(f"Error: {what} cannot be looked at: {why}", err=True)
        raise typer.Exit(1)


def _live(place: Workspace) -> Live:
    from prefect.client.orchestration import get_client

    from flows.run import live
    from flows.run.workspace import opened
    from tasks.leased import find_leased
    from tasks.sign_in import sign_in

    with get_client(sync_client=True) as client, opened(place.where, place.credentials):
        leases = find_leased.fn(sign_in.fn(place))
        return live.live(client, leases.leased, leases.unseen)


def _show(live: Live) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for column in ("", "state", "age", "owner", "lease ends", "$ an hour"):
        table.add_column(column, overflow="fold")
    for run in live.runs:
        table.add_row(f"run {run.name}", run.state, _age(live.at, run.since), "", "", "")
    for item in live.things:
        lease = item.problem if item.expires is None else item.expires.isoformat(timespec="minutes")
        lease = "never" if item.kept and item.expires and item.expires.year == datetime.max.year else lease
        past = " (over)" if item.expired(live.at) else ""
        price = "?" if item.problem and not item.hourly else f"{item.hourly:.2f}"
        table.add_row(item.label, item.state, _age(live.at, item.created), item.owner, lease + past, price)
    if live.runs or live.things:
        console.print(table)
    runs = f"{len(live.runs)} live run{'' if len(live.runs) == 1 else 's'}"
    console.print(f"[bold]{runs}, {len(live.things)} with a lease, ${live.hourly:.2f} an hour[/]")


def _age(now: datetime, since: datetime | None) -> str:
    return str(timedelta(seconds=round(max((now - since).total_seconds(), 0)))) if since else ""
