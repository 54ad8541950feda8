"""A run here and now: Prefect, the local workspace and the SDKs are started side by side, then the flow."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from flows.run.workspace import opened
from tasks.azure.failure import Failure

if TYPE_CHECKING:
    from flows.dashboard.run import Run
    from flows.dashboard.selection import Selection
    from flows.reap import Reaping
    from flows.run.report import RunReport

# Prefect's own: no telemetry, time for the start of its temporary server, its chatter kept to its own log.
_PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal shows stages; Prefect keeps the log
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
}


def run(recipe: str, changes: Iterable[str]) -> RunReport:
    """Run a recipe in this process; raises Failure when it does not complete."""
    _configure_prefect()
    from flows.run.config import load

    config = load(recipe, changes)  # before anything is started: what is wrong with it is said at once
    with ThreadPoolExecutor() as pool, ExitStack() as stack:
        prefect = pool.submit(_prefect_server())
        # Held from here on, so that the flow finds it running; the flow itself opens it as well.
        stack.enter_context(opened(config.workspace.where, config.workspace.credentials))
        _import_sdks()  # within: azureml-mlflow reads the cloud's address when it is imported
        _finished(prefect)
        return _watched(config)


def reap(where: Literal["local", "azure"], *, dry_run: bool) -> Reaping:
    """Reap in this process; raises Failure naming what could not be ended."""
    _configure_prefect()
    _prefect_server()()
    from flows.reap import reap
    from tasks.sign_in import Workspace

    return reap(Workspace(where=where), dry_run)


def read_history(selection: Selection, losses_of: Literal["local", "azure"] | None = None) -> list[Run]:
    """The runs that Prefect knows, with losses from MLflow if asked; raises Failure when either is away."""
    _configure_prefect()
    _prefect_server()()
    from flows.dashboard import reader

    runs = asyncio.run(reader.read(selection))
    if losses_of is None:
        return runs
    from flows.dashboard import losses
    from tasks.sign_in import Workspace

    return losses.completed(runs, Workspace(where=losses_of))


def serve_metrics(port: int, address: str) -> None:
    """Answer Prometheus' scrapes until interrupted."""
    from flows.dashboard import prometheus
    from flows.dashboard.selection import Selection

    with prometheus.serving(lambda: read_history(Selection()), port, address):
        Event().wait()


def _configure_prefect() -> None:
    for name, value in _PREFECT.items():
        os.environ.setdefault(name, value)


def _prefect_server() -> Callable[[], None]:
    """What starts Prefect's temporary server unless one is configured: the flow would, but only later.

    Prefect is imported by the caller's thread: two threads in the midst of its circular imports lock.
    """
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None:
        return lambda: None
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
            ) from error

    return start


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Keep Ctrl-C from the processes that are started within, which inherit what this thread blocks.

    A terminal sends it to all of them, and the flow still needs Prefect's server while it cleans up.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _import_sdks() -> None:
    for module in ("azure.ai.ml", "azure.ai.ml.entities", "azure.identity", "mlflow"):
        importlib.import_module(module)


def _finished(*futures: Future[None]) -> None:
    for future in futures:
        future.result()


def _watched(config: Any) -> RunReport:
    from flows.finetune import finetune
    from flows.terminal.live import view

    with view(config):
        return finetune(config)
