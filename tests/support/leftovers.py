"""Fails a test module that leaves a thread, a process or a port on which something listens behind.

What a test leaves disturbs the tests after it in the same process: a thread draws from `random` while
hypothesis does, a server takes the processor. It is looked for after each module, when the module's fixtures
are gone, and once more after the last, when those of the session are gone too. Processes are found by their
environment, so that one whose parent has ended is found as well.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from weakref import WeakSet

import psutil
import pytest

from tests.support.cleaner import Cleaner
from tests.support.waiting import holds

# Threads that libraries keep for the life of a process, by name, and why they disturb nobody.
SINGLETONS = {
    "GlobalEventLoopThread": "Prefect's event loop: idle once its workers have ended",
    "RunSyncEventLoopThread": "Prefect's event loop for calls from synchronous code: idle between them",
    "fsspecIO": "fsspec's event loop: idle between reads",
    "tqdm_monitor": "tqdm's monitor: looks at its bars every ten seconds",
    "MlflowAzureMLflowArtifactRepository": "mlflow's pool for artifacts, which nothing ends",
    "AnyIO worker thread": "anyio's pool in Prefect's event loops: idle between calls",
    "asyncio_": "the event loops' default pool: idle between calls",
}
# Children that a server of the session starts when it first needs them, and keeps.
KEPT_CHILDREN = {
    "azureml_local.execution.mlflow_server": "a workspace's MLflow",
    "uvicorn": "what `prefect server start` starts",
}
# Processes that Python keeps for the life of this one.
OWN_CHILDREN = {"multiprocessing.resource_tracker": "of its pools of processes; waits for our end"}

GRACE = 180.0  # seconds for what ends by itself, such as the threads in which the SDK polls

_KEY = pytest.StashKey["Leftovers"]()


@dataclass
class Leftovers:
    """What was there before the tests, what is allowed to stay, and what else is there now."""

    cleaner: Cleaner
    _before: WeakSet[threading.Thread] = field(default_factory=lambda: WeakSet(threading.enumerate()))
    _ports: set[int] = field(default_factory=lambda: _listening())
    _kept: dict[int, str] = field(default_factory=dict)

    def keep(self, pid: int, why: str) -> None:
        """Allow a server of the session's; it must be gone after the last test like everything else."""
        self._kept[pid] = why

    def find(self, *, last: bool) -> list[str]:
        """A line for each thread, each port of this process and each process that is left."""
        threads = [
            f"thread {each.name} ({_target(each)})" for each in threading.enumerate() if self._new(each)
        ]
        ports = [f"port {each}, on which this process listens" for each in _listening() - self._ports]
        kept = set() if last else set(self._kept)
        processes = [each for each in self.cleaner.marked() if not _is_kept(each, kept)]
        return [*threads, *ports, *_described(processes)]

    def _new(self, thread: threading.Thread) -> bool:
        if thread in self._before or isinstance(thread, threading._DummyThread):
            return False  # a dummy stands for a thread of native code, which Python neither starts nor ends
        return not thread.name.startswith(tuple(SINGLETONS))


@pytest.fixture(scope="session")
def leftovers(pytestconfig: pytest.Config) -> Leftovers:
    """Where a fixture of the session says which of its processes may outlive a module."""
    return pytestconfig.stash[_KEY]


@pytest.fixture(scope="module", autouse=True)
def prefect_workers_end() -> Iterator[None]:
    """End Prefect's workers in this process, which send its logs and events, with the module that used them.

    They would stay connected to the server until the process ends; the pings of that connection draw from
    `random` at any time.
    """
    yield
    if "prefect.events.worker" in sys.modules:
        from prefect.events.worker import EventsWorker

        EventsWorker.drain_all(at_exit=False)  # those of logs too: all kinds of workers are in one list


def pytest_configure(config: pytest.Config) -> None:
    cleaner = Cleaner()  # where others run the tests, they are what it cleans when this process is killed
    cleaner.start()
    config.stash[_KEY] = Leftovers(cleaner)


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[_KEY].cleaner.finish()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    if nextitem is not None and nextitem.path == item.path:
        return
    leftovers = item.config.stash[_KEY]
    left: list[str] = []

    def nothing() -> bool:
        left[:] = leftovers.find(last=nextitem is None)
        return not left

    if not holds(nothing, GRACE):
        text = "\n".join(left)
        pytest.fail(f"{GRACE:g} s after its end {item.path.name} has left behind:\n{text}", pytrace=False)


def _target(thread: threading.Thread) -> str:
    target = getattr(thread, "_target", None) or type(thread)
    return f"{target.__module__}.{target.__qualname__}"


def _listening() -> set[int]:
    """The ports on which this process listens."""
    found = psutil.Process().net_connections("inet")
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def _described(found: list[psutil.Process]) -> Iterator[str]:
    for process in found:
        try:
            test = process.environ().get("PYTEST_CURRENT_TEST", "no test")
            yield f"process {process.pid}, started in {test}: {' '.join(process.cmdline())[:300]}"
        except psutil.Error:  # it has ended meanwhile
            continue


def _is_kept(process: psutil.Process, kept: set[int]) -> bool:
    try:
        command, parent = " ".join(process.cmdline()), process.ppid()
        return (
            process.pid in kept
            or (parent in kept and any(each in command for each in KEPT_CHILDREN))
            or (parent == os.getpid() and any(each in command for each in OWN_CHILDREN))
        )
    except psutil.Error:
        return True  # it has ended meanwhile
