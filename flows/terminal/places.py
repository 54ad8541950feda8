"""Which workspace a command works in: options that every command about a workspace takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.reporting import Where

if TYPE_CHECKING:
    from tasks.sign_in import Workspace

_PANEL = "Workspace"
WhereOption = Annotated[
    Where | None,
    typer.Option(
        "--where",
        help="The workspace on this machine, which is the default, or one in Azure.",
        rich_help_panel=_PANEL,
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option("--recipe", help="The workspace of this recipe, by name or file.", rich_help_panel=_PANEL),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--workspace",
        metavar="[[SUBSCRIPTION/]GROUP/]NAME",
        help="A workspace in Azure; what is left out comes from the recipe or the environment.",
        rich_help_panel=_PANEL,
    ),
]
CredentialsOption = Annotated[
    str | None,
    typer.Option(
        "--credentials",
        metavar="BLOCK",
        help="Sign in with this block in Prefect instead of the environment's credentials.",
        rich_help_panel=_PANEL,
    ),
]


def workspace(
    where: Where | None, recipe: str | None, name: str | None, credentials: str | None
) -> Workspace:
    """The workspace that the options name; raises Failure where they contradict each other."""
    from flows.run.config import load
    from tasks.azure.failure import Cause, Failure
    from tasks.sign_in import Workspace

    given = load(recipe).workspace.model_dump(mode="json") if recipe else {}
    if name is not None:
        *outer, innermost = name.split("/")
        if len(outer) > 2 or not all((innermost, *outer)):
            raise Failure(
                f"{name!r} names no workspace.",
                "Write NAME, GROUP/NAME or SUBSCRIPTION/GROUP/NAME.",
                cause=Cause.CONFIGURATION,
            )
        named = zip(
            ("name", "resource_group", "subscription_id"), (innermost, *reversed(outer)), strict=False
        )
        given |= {"where": Where.AZURE.value, "config": None, **dict(named)}
    if credentials is not None:
        slug = credentials if "/" in credentials else f"finetune-azure-sign-in/{credentials}"
        given |= {"where": Where.AZURE.value, "credentials": {"$ref": {"block_document_slug": slug}}}
    if where is not None:
        given["where"] = where.value
    try:
        return Workspace.model_validate(given)
    except ValueError as error:
        raise Failure(
            f"The workspace cannot be made out: {_said(error)}.",
            "Check --where, --workspace and --credentials against each other.",
            cause=Cause.CONFIGURATION,
        ) from error


def _said(error: ValueError) -> str:
    """A validation error in its own words alone."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(str(fault["msg"]).removeprefix("Value error, ") for fault in error.errors())
