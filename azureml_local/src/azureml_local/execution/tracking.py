"""MLflow for the workspace: its server as a child, started when first needed, its runs in step with jobs."""

from __future__ import annotations

import http.client
import json
import logging
import os
import queue
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from azureml_local.errors import ServiceError
from azureml_local.settings import Settings
from azureml_local.state import damage
from azureml_local.state.documents import TRACKED_RUNS
from azureml_local.state.job_states import JobState
from azureml_local.state.store import Store

logger = logging.getLogger(__name__)

_STATUSES = {
    JobState.RUNNING: "RUNNING",
    JobState.COMPLETED: "FINISHED",
    JobState.FAILED: "FAILED",
    JobState.CANCELED: "KILLED",
}
EMPTY = ".empty"  # how the copy is called that MLflow's database is before anything is in it
_REMEDY = (
    "Restore the file from a copy, or stop the server, delete the file and start again: what code has logged "
    "is lost then, and the jobs stay."
)
_TIMEOUT = 120.0  # seconds; the first request of all waits for MLflow's import and its migrations


@dataclass(frozen=True)
class Run:
    """What MLflow shows of a job; `id` is the job's name, times are milliseconds since the epoch."""

    id: str
    experiment: str
    name: str
    status: str
    started: int | None
    ended: int | None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Exchange:
    """The runs and experiments of that database, or none, are to take the place of all others."""

    database: Path | None


@dataclass(frozen=True)
class Answer:
    """What MLflow answered."""

    status: int
    content_type: str
    body: bytes


def run_status(state: JobState) -> str:
    """MLflow's word for a job's state."""
    return _STATUSES.get(state, "SCHEDULED")


class Tracking:
    """The child process and the queue of runs that it is yet to hear of.

    Starting MLflow takes seconds, so nothing waits for it but who asks it something: `put` returns at once,
    and `forward` answers after all that was put before. What MLflow has heard is remembered, so that a server
    that stops, or is killed, owes it no more than the rest.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._database = settings.state / "mlflow.sqlite"
        self._synchronous = "FULL" if settings.scenario.durable else "NORMAL"
        self._log = settings.state / "mlflow.log"
        self._artifacts = f"azureml://localhost:{settings.port}/mlflow/v2.0{settings.workspace_arm_id}"
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None
        self._queue: queue.Queue[Run | _Exchange | threading.Event | None] = queue.Queue()
        self._latest: dict[str, Run] = {}  # what the queue was last given of each run
        self._worker: threading.Thread | None = None
        self._closing = False
        self._answers = False  # whether the child has come so far as to answer
        if not self._database.exists():  # never used, or given up: it is to hear of all runs
            store.clear([TRACKED_RUNS.name])

    def check(self, *, thorough: bool = False) -> None:
        """Raise DamagedState where the database cannot be MLflow's; a thorough look reads all of it.

        MLflow itself would try for minutes, and let its clients wait.
        """
        if self._database.exists():
            like = self._database.with_suffix(EMPTY)
            damage.check_tables(self._database, _REMEDY, like=like, thorough=thorough)

    def put(self, run: Run) -> None:
        """Bring MLflow's run up to date, in the order of the calls, in the background."""
        if self._latest.get(run.id) != run:
            self._latest[run.id] = run
            self._queue.put(run)
            self._work()

    def owe(self, run: Run) -> None:
        """Bring MLflow's run up to date before MLflow is next used, unless it has heard all of it already."""
        if self._store.get(TRACKED_RUNS, run.id) != asdict(run):
            self._queue.put(run)

    def forward(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        """MLflow's answer; `path` begins with /api/2.0 and carries the query."""
        self._settle()
        return self._ask(method, path, body, content_type)

    def replace_by(self, database: Path | None) -> None:
        """Have those runs and experiments in the place of all that MLflow knows, or none.

        What it has not heard yet it never will. It is not waited for: whoever asks it next is.
        """
        self._latest.clear()
        with suppress(queue.Empty):
            while True:
                left = self._queue.get_nowait()
                if isinstance(left, threading.Event):
                    left.set()
        if self._worker is None and self._child is None:
            self._exchange(database)
        else:
            self._queue.put(_Exchange(database))
            self._work()

    def copy_to(self, path: Path) -> None:
        """Copy what MLflow knows by now, of which documents tell; nothing where it has never been used."""
        if self._database.exists():
            with (
                damage.readable(self._database, _REMEDY),
                closing(sqlite3.connect(self._database)) as kept,
                closing(sqlite3.connect(path)) as copy,
            ):
                kept.backup(copy)

    def close(self) -> None:
        """End MLflow; it hears the rest before, but not if it is still starting."""
        self._closing = not self._answers
        if self._closing:
            self._end_child()
        if self._worker is not None:
            self._queue.put(None)
            self._worker.join()
        self._end_child()

    def _end_child(self) -> None:
        with self._lock:
            if self._child is not None and self._child.stdin is not None:
                self._child.stdin.close()
                self._child.wait()
            if self._directory is not None:
                shutil.rmtree(self._directory, ignore_errors=True)
            self._child = self._directory = None

    def _work(self) -> None:
        with self._lock:
            if self._worker is None:
                self._worker = threading.Thread(target=self._drain, name="tracking", daemon=True)
                self._worker.start()

    def _drain(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif isinstance(item, _Exchange):
                self._exchange(item.database)
            elif not self._closing:
                self._report(item)

    def _report(self, run: Run) -> None:
        try:
            answer = self._ask("PUT", "/runs", json.dumps(asdict(run)).encode(), "application/json")
        except ServiceError as error:
            if not self._closing:
                logger.error("MLflow did not hear of run %s: %s", run.id, error.message)
            return
        if answer.status != 204:
            logger.error("MLflow refused run %s: %s", run.id, answer.body.decode(errors="replace"))
            return
        self._answers = True
        self._store.put(TRACKED_RUNS, run.id, asdict(run))

    def _exchange(self, database: Path | None) -> None:
        """Copy the database over MLflow's own, which may have it open."""
        source = database or self._database.with_suffix(EMPTY)
        if self._child is not None:  # it may still be making its database: an answer says that it has
            self._ask("GET", "/", b"", "")
        if not source.exists():  # it has never been used
            return
        with (
            damage.readable(self._database, _REMEDY),
            closing(sqlite3.connect(source)) as kept,
            closing(sqlite3.connect(self._database)) as own,
        ):
            kept.backup(own)

    def _settle(self) -> None:
        if self._worker is not None or not self._queue.empty():
            self._work()
            reached = threading.Event()
            self._queue.put(reached)
            reached.wait(_TIMEOUT)

    def _ask(self, method: str, path: str, body: bytes, content_type: str) -> Answer:
        connection = _UnixConnection(self._socket(), _TIMEOUT)
        try:
            connection.request(method, path, body, {"Content-Type": content_type} if body else {})
            response = connection.getresponse()
            kind = response.headers.get("Content-Type", "application/json")
            return Answer(response.status, kind, response.read())
        except (OSError, http.client.HTTPException) as error:
            raise ServiceError(
                503, "TrackingUnavailable", f"MLflow does not answer ({error}); see {self._log}."
            ) from error
        finally:
            connection.close()

    def _socket(self) -> Path:
        """Where MLflow listens; it is started when it is not running."""
        with self._lock:
            if self._closing:
                raise ServiceError(503, "TrackingUnavailable", "The server is stopping.")
            if self._child is None or self._child.poll() is not None or self._directory is None:
                self.check(thorough=True)
                self._directory, self._child = self._start()
            return self._directory / "socket"

    def _start(self) -> tuple[Path, subprocess.Popen[bytes]]:
        # A directory that only we can enter, and short: a Unix socket's path has room for about 100 bytes.
        directory = self._directory or Path(tempfile.mkdtemp(prefix="azureml-local-"))
        path = directory / "socket"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, self._log.open("ab") as log:
            listener.bind(str(path))
            listener.listen(128)  # requests queue here while MLflow is importing
            child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "azureml_local.execution.mlflow_server",
                    str(listener.fileno()),
                    str(self._database),
                    self._artifacts,
                    self._synchronous,
                ],
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the server's to handle, and MLflow ends after it
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            )
        return directory, child


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
