"""How a command tells its end: failures in one line on stderr, results alone on stdout."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator
from enum import StrEnum

import typer

_INTERRUPTED = 130


class Where(StrEnum):
    """Which of the two workspaces a command asks."""

    LOCAL = "local"
    AZURE = "azure"


@contextlib.contextmanager
def reporting(interrupted: str) -> Iterator[None]:
    """Tell failures as one line, and keep stdout for the result."""
    with contextlib.redirect_stdout(_Printed()):
        try:
            yield
        except KeyboardInterrupt as error:
            typer.echo(str(error) or f"Interrupted: {interrupted}.", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        except Exception as error:
            from tasks.azure.errors import explain

            failure = explain(error)
            typer.echo(f"Error: {failure}", err=True)
            if failure.details:
                typer.echo(failure.details, err=True)
            if os.environ.get("FINETUNE_TRACEBACK"):
                raise
            raise typer.Exit(1) from None


class _Printed(io.TextIOBase):
    """Takes what libraries print, dots and all: it belongs to the log, at its lowest level."""

    def __init__(self) -> None:
        self._log = logging.getLogger("finetune.printed")

    def write(self, text: str) -> int:
        if text.strip():
            self._log.debug("%s", text.strip())
        return len(text)
