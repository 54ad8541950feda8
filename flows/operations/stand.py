"""A Prefect server of one's own, with a worker: everything about it is in one folder, and ends with it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import httpx
import psutil
from prefect.client.orchestration import SyncPrefectClient

from tasks.azure.failure import Cause, Failure

T = TypeVar("T")

POOL = "finetune"
CHECKOUT = Path(__file__).resolve().parents[2]

# Seconds. They end what hangs: on a machine with much other work each takes many times what it takes alone.
_START_LIMIT = 600.0  # its database is migrated first
_COMMAND_LIMIT = 600.0
_STOP_LIMIT = 60.0
_CLEAN_LIMIT = 300.0  # for a run that deletes what it has made before it ends
# Between two looks: a share of the time that has been waited already, at least and at most so many seconds.
_SHARE, _LEAST, _MOST = 0.05, 0.1, 2.0


@dataclass
class PrefectServer:
    """A server process on a port that it keeps over restarts, with a home of its own.

    `extra` are variables of whatever talks to it; all processes started through it carry its home in their
    environment, by which `kill_what_is_left` finds them.
    """

    home: Path
    port: int
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError("the Prefect server has not been started")
        return self.process.pid

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of whatever talks to this server; nothing of the user's own Prefect."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        return {
            **inherited,
            "PATH": f"{Path(sys.executable).parent}:{inherited.get('PATH', '')}",
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
            "PREFECT_SERVER_UI_API_URL": "/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **self.extra,
        }

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    @property
    def has_ended(self) -> bool:
        """Whether the process was started and runs no more, by itself or killed by somebody."""
        return self.process is not None and self.process.poll() is not None

    def ended(self, when: str) -> Failure:
        """What to raise when it has: its log goes with its home."""
        return Failure(
            f"The Prefect server ended {when}.",
            "The end of its log is below.",
            self.log.read_text(errors="replace")[-3000:] or "(nothing)",
            cause=Cause.PREFECT,
        )

    def start(self) -> None:
        """Start the process, and return when it answers; raises Failure when it does not."""
        command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        self.process = self.spawn(command, self.log)
        until(self._healthy, f"The Prefect server does not start (its log: {self.log}).", _START_LIMIT)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)

    def client(self) -> SyncPrefectClient:
        return SyncPrefectClient(f"{self.url}/api")

    def prefect(self, *arguments: str, cwd: Path = CHECKOUT) -> str:
        """What a command of Prefect's command line prints; raises Failure with what it said when it fails."""
        done = subprocess.run(
            ["prefect", "--no-prompt", *arguments],
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_COMMAND_LIMIT,
            check=False,
        )
        if done.returncode:
            raise Failure(
                f"`prefect {' '.join(arguments)}` failed.",
                "What it printed is below.",
                f"{done.stdout}\n{done.stderr}".strip(),
                cause=Cause.PREFECT,
            )
        return done.stdout

    def spawn(self, command: list[str], log: Path, cwd: Path = CHECKOUT) -> subprocess.Popen[bytes]:
        """A process in a session of its own, so that it can be ended together with all its children."""
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def runs(self) -> dict[UUID, psutil.Process]:
        """The processes of flow runs, which a worker has started."""
        found: dict[UUID, psutil.Process] = {}
        for process, variables in self._started():
            # Of a process and its children, which inherit the variables, the parent comes first.
            if run := variables.get("PREFECT__FLOW_RUN_ID"):
                found.setdefault(UUID(run), process)
        return found

    def kill_what_is_left(self) -> None:
        """End whatever still runs of what was started for this server: it may be in sessions of its own."""
        left = [process for process, _ in self._started()]
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=_STOP_LIMIT)

    def _started(self) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
        """What runs with this server's variables, which name its home, and these variables."""
        for process in psutil.process_iter(["environ"]):
            variables: dict[str, str] = process.info["environ"] or {}
            if variables.get("PREFECT_HOME") == str(self.home):
                yield process, variables

    def _healthy(self) -> bool:
        if self.has_ended:
            raise self.ended("while it started")
        try:
            with urllib.request.urlopen(f"{self.url}/api/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False


@contextmanager
def serving(home: Path, **extra: str) -> Iterator[PrefectServer]:
    """A server while the block runs; `extra` are variables of whatever talks to it.

    Raises Failure for a block that failed since the server has ended.
    """
    home.mkdir(parents=True, exist_ok=True)
    server = PrefectServer(home, free_port(), extra)
    try:
        server.start()
        yield server
    except httpx.TransportError as error:
        if not server.has_ended:
            raise
        raise server.ended("while it was in use") from error
    finally:
        server.stop()
        server.kill_what_is_left()


@contextmanager
def working(server: PrefectServer, cwd: Path = CHECKOUT) -> Iterator[subprocess.Popen[bytes]]:
    """A process worker of the pool while the block runs, and until its runs' processes have ended as well."""
    worker = start_worker(server, cwd)
    try:
        yield worker
    finally:
        worker.terminate()  # it takes up no more runs, but waits for those that it has taken up
        _end_runs(server)
        end(worker)


def start_worker(server: PrefectServer, cwd: Path = CHECKOUT) -> subprocess.Popen[bytes]:
    """A process worker that makes the pool if there is none."""
    command = ["prefect", "--no-prompt", "worker", "start", "--pool", POOL, "--type", "process"]
    return server.spawn(command, server.home / "worker.log", cwd)


def _end_runs(server: PrefectServer) -> None:
    """Let the runs that go on clear up, and wait until they have."""
    left = list(server.runs().values())
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(left, timeout=_CLEAN_LIMIT)


def free_port() -> int:
    """A port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process and whatever is left of its session."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def until(condition: Callable[[], T | None], otherwise: str, limit: float) -> T:
    """The first true answer of the condition; raises Failure with `otherwise` after so many seconds."""
    begun = time.monotonic()
    while not (answer := condition()):
        waited = time.monotonic() - begun
        if waited > limit:
            raise Failure(
                otherwise,
                f"It was waited for {limit:.0f} s: try again when the machine is less busy.",
                cause=Cause.TIMED_OUT,
            )
        time.sleep(min(max(_SHARE * waited, _LEAST), _MOST))
    return answer
