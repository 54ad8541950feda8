"""The Prefect server of a command: the one that is configured, or a temporary one for as long as it runs."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tasks.azure.failure import Cause, Failure

# Prefect's own: no telemetry, time for the start of its temporary server, its chatter kept to its own log.
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal shows stages; Prefect keeps the log
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
}

_ANSWER = 10.0  # seconds


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
        return _check
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


def _check() -> None:
    """Raise Failure when the configured server does not answer."""
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    with get_client(httpx_settings={"timeout": _ANSWER}, sync_client=True) as client:
        error = client.api_healthcheck()
    if error is not None:
        raise Failure(
            f"The Prefect server at {get_current_settings().api.url} does not answer.",
            "Start it (prefect server start), correct PREFECT_API_URL, or unset it for a temporary server.",
            f"{type(error).__name__}: {error}",
            cause=Cause.PREFECT,
        )


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
