"""The Prefect server of a command: the one that is configured, or a temporary one for as long as it runs."""

from __future__ import annotations

import atexit
import http.client
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from flows.run.prefect_api import check_answers, use_temporary
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
_PROCESS = Path(__file__).with_name("prefect_process.py")
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # the server would compile all of itself at each start
_END = 5.0  # seconds that the server has to end by itself


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
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
        _start(listener.fileno(), {**settings.to_environment_variables(exclude_unset=True), **own})
    use_temporary(address)
    return lambda: _await_health(f"{address}/health", limit)


def _start(listener: int, environment: Mapping[str, str]) -> None:
    """Start the server on the listening socket; it is ended with this process, however that ends."""
    inherited = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
    with _deaf_to_interrupts():
        server = subprocess.Popen(
            # -P: beside the file are modules of common names.
            [sys.executable, "-P", str(_PROCESS), str(listener)],
            env={**inherited, **environment},
            stdin=subprocess.PIPE,
            pass_fds=[listener],
        )
    atexit.register(_stop, server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(timeout=_END)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _await_health(address: str, limit: float) -> None:
    """The connection is accepted at once, and answered when the server is ready or lost when it ends."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(address, timeout=limit).close()
    except (OSError, http.client.HTTPException) as error:
        raise Failure(
            "Prefect's temporary server does not start.",
            "Try again when the machine is less busy, or set PREFECT_API_URL to a server that runs.",
            f"{type(error).__name__}: {error}",
            cause=Cause.PREFECT,
        ) from error


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
