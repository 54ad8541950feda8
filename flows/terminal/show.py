"""`finetune show`: the project as operated, on a server, a worker and a workspace of its own."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import typer

from flows.terminal.reporting import reporting


def show() -> None:
    """Deploy everything on a Prefect server of its own, run the local recipe, and leave nothing behind."""
    stdout = sys.stdout  # which reporting keeps for results: these lines are the result
    signal.signal(signal.SIGTERM, _interrupt)
    with reporting("everything that was started has ended"):
        from flows.terminal import prefect_server

        prefect_server.configure()
        from flows.operations import show as operated

        completed = operated.show(lambda line: print(line, file=stdout, flush=True))
    if not completed:
        raise typer.Exit(1)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
