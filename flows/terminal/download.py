"""`finetune download`: a model's files in a folder here, checked, with the lines that load them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from tasks.download import Downloaded


def download(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="NAME or NAME:VERSION of a registered model, or the azureml:// id of a registry's.",
        ),
    ],
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Only the adapter, which is added to the base model.")
    ] = False,
    merged: Annotated[
        bool, typer.Option("--merged", help="Only the weights that are served, in Hugging Face's format.")
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(help="Where the adapter finds its base model: a folder, or its name on a hub."),
    ] = None,
    to: Annotated[Path | None, typer.Option(help="A folder; by default one named after the model.")] = None,
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was got as JSON on stdout.")] = False,
) -> None:
    """Download a model, or its merged weights or adapter alone, and say how it loads."""
    if adapter and merged:
        raise typer.BadParameter("--adapter and --merged are two things: give one")
    with reporting("what was got stays, and is not got again"):
        from flows.run.workspace import opened

        place = workspace(where, recipe, name, credentials)
        with opened(place.where, place.credentials):
            from tasks.download import Part, Wanted
            from tasks.download import download as get
            from tasks.sign_in import sign_in

            part = Part.ADAPTER if adapter else Part.MERGED if merged else Part.WHOLE
            wanted = Wanted(model=model, part=part, folder=to or folder_of(model, part), base=base)
            done = get(sign_in.fn(place), wanted, _tell)
    typer.echo(done.model_dump_json(indent=2) if as_json else said(done))


def folder_of(model: str, part: str) -> Path:
    """A folder here that is named after the model, whose name may be an id with slashes."""
    return Path(re.sub(r"[^\w.-]+", "-", model.split("/models/")[-1]) + f"-{part}")


def _tell(path: str, size: int) -> None:
    typer.echo(got(path, size), err=True)


def got(path: str, size: int) -> str:
    """A file on its way."""
    return f"● {path} ({size:,} bytes)"


def said(done: Downloaded) -> str:
    """What was got, and the lines that load it."""
    from tasks.download import SUMS

    code = "\n".join(done.lines)
    return (
        f"{done.model} ({done.part}): {len(done.files)} files, {done.bytes:,} bytes in {done.folder}, "
        f"their SHA-256 in {SUMS}\n{code}"
    )
