"""`finetune ps`: what runs at this moment, and what it costs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting
from flows.terminal.table import show

if TYPE_CHECKING:
    from flows.run.live import Live
    from tasks.leased import Leased
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
    from flows.run.place import options
    from flows.run.workspace import opened
    from tasks.leased import find_leased
    from tasks.sign_in import sign_in
    from tasks.use import of_kept

    with get_client(sync_client=True) as client, opened(place.where, place.credentials):
        session = sign_in.fn(place)
        leases = find_leased.fn(session)
        found = live.live(client, leases.leased, leases.unseen)
        uses = of_kept(session, leases.leased, options(place, session), found.at)
        return found.model_copy(update={"uses": uses})


def _show(live: Live) -> None:
    rows = [(f"run {run.name}", run.state, _age(live.at, run.since), "", "", "") for run in live.runs]
    rows += [_row(live.at, item) for item in live.things]
    runs = f"{len(live.runs)} live run{'' if len(live.runs) == 1 else 's'}"
    show(
        ("", "state", "age", "owner", "lease ends", "$ an hour"),
        rows,
        f"{runs}, {len(live.things)} with a lease, ${live.hourly:.2f} an hour",
    )
    if not live.uses:
        return
    from flows.terminal.summary import show_use

    for use in live.uses:
        show_use(use)


def _row(now: datetime, item: Leased) -> tuple[str, str, str, str, str, str]:
    price = "?" if item.problem and not item.hourly else f"{item.hourly:.2f}"
    return item.label, item.state, _age(now, item.created), item.owner, _lease(now, item), price


def _lease(now: datetime, item: Leased) -> str:
    from tasks.core.lease import FOREVER

    if item.expires is None:
        return item.problem
    if item.expires == FOREVER:
        return "never"
    return item.expires.isoformat(timespec="minutes") + (" (over)" if item.expired(now) else "")


def _age(now: datetime, since: datetime | None) -> str:
    return str(timedelta(seconds=round(max((now - since).total_seconds(), 0)))) if since else ""
