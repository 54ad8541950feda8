"""The Prefect server of a command: the one that is configured, or a temporary one for as long as it runs."""

from __future__ import annotations

import os
from collections.abc import Callable

from flows.run.prefect_api import check_answers, use_temporary
from flows.terminal.temporary_server import TemporaryServer

# Prefect's own: no telemetry, time for the start of its temporary server, its chatter kept to its own log.
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal shows stages; Prefect keeps the log
    "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",  # or it prints each event whole that a lost server misses
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
    """What waits for Prefect's temporary server, which has been started; or what asks the one configured.

    Prefect is imported by the caller's thread: two threads in the midst of its circular imports lock.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None:
        return check_answers
    limit = settings.server.ephemeral.startup_timeout_seconds
    # Prefect's names: no UI, and only the services that a server of one process needs.
    own = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
    server = TemporaryServer({**settings.to_environment_variables(exclude_unset=True), **own})
    use_temporary(server.address)
    return lambda: server.await_health(limit)
