"""`finetune endpoint`: how a kept endpoint is asked, its key, and its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from tasks.azure.clients import Session
    from tasks.sign_in import Workspace


def endpoint(
    endpoint: Annotated[str, typer.Argument(help="Its name, as `finetune ps` has it.")],
    key: Annotated[bool, typer.Option("--key", help="Print its key on stdout, and nothing else.")] = False,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete it with its deployments, and see it gone.")
    ] = False,
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON on stdout.")] = False,
) -> None:
    """Say how an endpoint is asked: its address, its key, a line for curl and one for Python."""
    if key and delete:
        raise typer.BadParameter("--key and --delete are two things: give one")
    with reporting("nothing was deleted" if not delete else "it may still be there"):
        from flows.run.workspace import opened

        place = workspace(where, recipe, name, credentials)
        with opened(place.where, place.credentials):
            from tasks.sign_in import sign_in

            session = sign_in.fn(place)
            said = _key(session, endpoint) if key else _deleted(session, endpoint) if delete else ""
            if not said:
                said = _use(session, place, endpoint, as_json)
    typer.echo(said)


def _key(session: Session, name: str) -> str:
    from tasks.azure import clients

    found: str = clients.workspace(session).online_endpoints.get_keys(name).primary_key
    return found


def _deleted(session: Session, name: str) -> str:
    """Delete the endpoint whoever keeps it; one that this project has not made is left alone."""
    from tasks import endpoint as endpoints
    from tasks.azure.failure import Cause, Failure
    from tasks.core.lease import Lease

    found = endpoints.find(session, name)
    if found is None:
        return f"There is no endpoint {name}."
    holder = Lease.read(found.tags)
    if holder is None:
        raise Failure(
            f"The endpoint {name!r} has no lease: this project has not made it.",
            f"Delete it by `az ml online-endpoint delete -n {name}`.",
            cause=Cause.IN_USE,
        )
    endpoints.remove(session, name, holder.run)
    return f"Endpoint {name} is gone."


def _use(session: Session, place: Workspace, name: str, as_json: bool) -> str:
    from flows.run.place import options
    from tasks.use import of_endpoint

    found = of_endpoint(session, name, options(place, session))
    if as_json:
        return found.model_dump_json(indent=2)
    return found.text()
