"""The Prefect server of a command: the one that is configured, or a temporary one for as long as it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flows.run.prefect_api import check_answers
from tasks.azure.failure import Cause, Failure

# Prefect's own: no telemetry, time for the start of its temporary server, its chatter kept to its own log.
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal shows stages; Prefect keeps the log
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # by them a run is known to be lost whose process was killed
}


def configure() -> None:
    """Set what Prefect reads when it is imported; what the user has set stays."""
    for name, value in _PREFECT.items():
        os.environ.setdefault(name, value)


def start() -> None:
    """Configure Prefect and have a server answer; raises Failure when none does."""
    configure()
    starter()()


def starter() -> Callable[[], None]:
    """What starts Prefect's temporary server unless one is configured: the flow would, but only later.

    Prefect is imported by the caller's thread: two threads in the midst of its circular imports lock.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None:
        return check_answers
    from prefect.server.api.server import SubprocessASGIServer

    def start() -> None:
        try:
            with _deaf_to_interrupts():
                SubprocessASGIServer().start(timeout=settings.server.ephemeral.startup_timeout_seconds)
        except RuntimeError as error:
            raise Failure(
                "Prefect's temporary server does not start.",
                "Try again when the machine is less busy, or set PREFECT_API_URL to a server that runs.",
                str(error),
                cause=Cause.PREFECT,
            ) from error

    return start


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Keep Ctrl-C and the end of the terminal from the processes that are started within.

    They inherit what this thread blocks. A terminal signals all of them, and the flow still needs Prefect's
    server while it cleans up.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
