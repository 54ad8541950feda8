"""`finetune automations`: what notifies people, declared in the Prefect server."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from flows.terminal.reporting import reporting


def automations(
    webhook: Annotated[
        str | None,
        typer.Option(
            envvar="FINETUNE_WEBHOOK",
            show_envvar=True,
            help="Webhook URL; defaults to the last one saved.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was changed as JSON on stdout.")
    ] = False,
) -> None:
    """Create or update the automations that notify people, in the Prefect server."""
    with reporting("run it again"):
        from flows.operations.automations import declare

        declared = declare(webhook)
    if as_json:
        typer.echo(json.dumps([each.model_dump() for each in declared], indent=2))
    else:
        for each in declared:
            typer.echo(f"{each.change}{'' if each.enabled else ' (switched off)'}  {each.name}")
