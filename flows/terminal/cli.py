"""The command line: a module for each command, which imports what is heavy only when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.terminal import (
    automations,
    cancel,
    chat,
    compare,
    data,
    doctor,
    download,
    endpoint,
    history,
    logs,
    metrics,
    models,
    plan,
    ps,
    reap,
    run,
    show,
    smoke,
    sweep,
)
from flows.terminal.reporting import leave

app = typer.Typer(
    name="finetune",
    help="Fine-tune a chat model on Azure ML, and prove that it answers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

for command in (
    plan.plan,
    run.run,
    sweep.sweep,
    doctor.doctor,
    data.data,
    ps.ps,
    endpoint.endpoint,
    chat.chat,
    download.download,
    models.models,
    logs.logs,
    cancel.cancel,
    reap.reap,
    automations.automations,
    history.history,
    compare.compare,
    metrics.metrics,
    smoke.smoke,
    show.show,
):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"finetune {version('azureml-finetune')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    """Fine-tune a chat model on Azure ML, and prove that it answers."""


def main() -> None:
    try:
        app()
    finally:
        leave()


if __name__ == "__main__":
    main()
