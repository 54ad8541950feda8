"""`finetune show`: the project as operated, on a server, a worker and a workspace of its own."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, NoReturn

import typer

from flows.terminal.reporting import reporting


def show(
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Set a field of the local recipe; may be repeated."),
    ] = None,
) -> None:
    """Deploy everything on a Prefect server of its own, run the local recipe, and leave nothing behind."""
    stdout = sys.stdout  # which reporting keeps for results: these lines are the result
    signal.signal(signal.SIGTERM, _interrupt)
    with reporting("everything that was started has ended"):
        from flows.terminal import prefect_server

        prefect_server.configure()
        from flows.operations import show as operated
        from flows.run.config import load

        config = load(operated.RECIPE, changes) if changes else None
        completed = operated.show(lambda line: print(line, file=stdout, flush=True), config)
    if not completed:
        raise typer.Exit(1)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
