"""How a command tells its end: failures in one line on stderr, results alone on stdout."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import typer

from tasks.core.insistence import raising_interrupts

if TYPE_CHECKING:
    from tasks.azure.failure import Failure

BEGUN = monotonic()
"""When the command did, nearly: nothing heavy is imported before."""

_INTERRUPTED = 130

_is_away = False  # Prefect's server


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
        except Exception as error:  # noqa: BLE001 - each is reported, and ends the command
            from tasks.azure.redaction import redact

            failure = _explained(error)
            typer.echo(f"Error: {failure}", err=True)
            if failure.details:
                typer.echo(failure.details, err=True)
            if os.environ.get("FINETUNE_TRACEBACK"):
                typer.echo(redact(traceback.format_exc()), err=True)
            raise typer.Exit(1) from None


def leave() -> None:
    """End the process here if Prefect's server is gone, as it would.

    At its end Prefect's client tries to bring it the events that are left, seven seconds for each.
    """
    if _is_away:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)


def _explained(error: Exception) -> Failure:
    global _is_away
    from tasks.azure.errors import explain

    if "prefect" in sys.modules:  # as long as it is not imported, its server cannot be what was asked
        from flows.run import prefect_api

        if (failure := prefect_api.lost(error)) is not None:
            _is_away = True
            return failure
    return explain(error)


@contextlib.contextmanager
def leaving_by_signals(say: str) -> Iterator[None]:
    """Unwind at SIGTERM and SIGHUP as at Ctrl-C, so that what was started, or must be deleted, ends.

    Ctrl-C is raised again where a library has swallowed it. What is ignored when the command begins stays
    so: a script that starts it in the background does not want it ended by a Ctrl-C that is meant for
    another program, and neither does nohup by the end of the terminal.
    """
    insistence, interrupt = raising_interrupts()

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        with contextlib.suppress(OSError):  # the terminal may be what has gone
            typer.echo(f"Ended by {signal.Signals(number).name}. {say}", err=True)
        raise SystemExit(128 + number)

    handlers = {signal.SIGTERM: leave, signal.SIGHUP: leave, signal.SIGINT: interrupt}
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)
    }
    try:
        yield
    finally:
        insistence.end()
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def quiet(logger: str) -> Iterator[None]:
    """Keep a log to itself while the block runs, as the command says itself what it has found."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


class _Printed(io.TextIOBase):
    """Takes what libraries print, dots and all: it belongs to the log, at its lowest level."""

    def __init__(self) -> None:
        self._log = logging.getLogger("finetune.printed")

    def write(self, text: str) -> int:
        if text.strip():
            self._log.debug("%s", text.strip())
        return len(text)
