"""A Prefect server of the tests' own, workers of it, and the command line that talks to it."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.operations import stand
from flows.operations.stand import POOL, PrefectServer, end, free_port, start_worker, working
from tests.support.checkout import ROOT

__all__ = [
    "POOL",
    "QUIET",
    "PrefectServer",
    "end",
    "free_port",
    "joined",
    "make_pool",
    "migrated",
    "serving",
    "start_worker",
    "working",
]

# Beside pytest's own cache: an empty database of this version, whose migrations are half of a server's start.
_MIGRATED = ROOT / ".pytest_cache" / "d" / f"prefect-{version('prefect')}.db"

# What looks for work every few seconds, for as long as the tests run: a third of what an idle server takes.
_IDLE = (
    "CANCELLATION_CLEANUP",
    "FOREMAN",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "REPOSSESSOR",
    "SCHEDULER",
)
_OFF = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _IDLE}
# Its recorder of task runs commits each of their states alone: nearly half of what a flow costs the server.
# It knows no interval below a second.
QUIET = _OFF | {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "20",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
}


def migrated(home: Path) -> Path:
    """That home of a Prefect server with the database that an earlier server has migrated, if one has."""
    home.mkdir(parents=True, exist_ok=True)
    if _MIGRATED.exists():
        shutil.copyfile(_MIGRATED, home / "prefect.db")
    return home


@contextmanager
def serving(home: Path, **extra: str) -> Iterator[PrefectServer]:
    """A server while the block runs; `extra` are variables of whatever talks to it."""
    with ExitStack() as stack:
        with _turn_to_migrate():
            server = stack.enter_context(stand.serving(migrated(home), **extra))
            if not _MIGRATED.exists() and (home / "prefect.db").exists():  # not on PostgreSQL
                _keep(home / "prefect.db")
        yield server


def make_pool(server: PrefectServer) -> None:
    """The pool that `prefect work-pool create --type process` makes, without another process."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    with server.client() as client:
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))


@contextmanager
def joined(server: PrefectServer) -> Iterator[None]:
    """Flows of this process run on the server while the block runs, and keep their results in its home."""
    import prefect.settings as settings

    updates: dict[Any, Any] = {
        settings.PREFECT_HOME: server.home,
        settings.PREFECT_API_URL: f"{server.url}/api",
        settings.PREFECT_LOCAL_STORAGE_PATH: server.home / "storage",
        settings.PREFECT_LOGGING_LEVEL: "WARNING",
    }
    with settings.temporary_settings(updates):
        yield


@contextmanager
def _turn_to_migrate() -> Iterator[None]:
    """Where no database has been migrated yet, one process does while the others wait for its copy."""
    if _MIGRATED.exists():
        yield
        return
    _MIGRATED.parent.mkdir(parents=True, exist_ok=True)
    with _MIGRATED.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _keep(database: Path) -> None:
    """Copy a database that is in use, before anything is in it."""
    fresh = _MIGRATED.with_suffix(f".{os.getpid()}")
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(fresh)) as target:
        source.backup(target)
    fresh.replace(_MIGRATED)
