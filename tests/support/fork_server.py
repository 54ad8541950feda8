"""Processes of the project without their imports: forked off one that has imported everything.

A command's imports are three processor seconds, more than the rest of it. A forked run has its own session,
environment, working directory, standard streams, signal handlers and exit, as a started one has; what it does
not have is the start of the interpreter and the imports, which tests of the command line itself look at.

Run as a program, this is the server: it reads requests from its standard input, which is a socket.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, NoReturn

from tests.support.checkout import ROOT

# Whatever `finetune run` and Prefect's engine import until a run has ended.
_IMPORTED = (
    *("flows.finetune", "flows.artifacts.plots", "flows.terminal.run", "flows.terminal.live"),
    *("prefect.flow_engine", "prefect.task_engine", "prefect.engine", "tasks.data.prepare"),
    *("azure.ai.ml", "azure.ai.ml.entities", "azure.ai.ml.dsl", "azure.identity", "mlflow"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image"),
)


@dataclass
class Forked:
    """A process that was forked off; `returncode` is None until somebody has looked after its end."""

    pid: int
    status: IO[str] = field(repr=False)
    returncode: int | None = None

    def poll(self) -> int | None:
        """How it ended, as `subprocess` says it; None while it runs."""
        if self.returncode is None and select.select([self.status], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """How it ended, once it has."""
        if self.returncode is None:
            with self.status:
                self.returncode = int(self.status.readline())
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it to the process alone; nothing where it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class ForkServer:
    """Where they are forked off, by process `pid`; it ends with the process that has started it."""

    def __init__(self, pid: int, requests: socket.socket) -> None:
        self.pid = pid
        self._requests = requests

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], *, out: IO[bytes], err: IO[bytes]
    ) -> Forked:
        """Run `python -m ARGUMENTS` in the checkout, in a session of its own."""
        told, status = os.pipe()
        request = json.dumps({"arguments": list(arguments), "environment": dict(environment)}).encode()
        try:
            size = len(request).to_bytes(4, "big")
            socket.send_fds(self._requests, [size], [out.fileno(), err.fileno(), status])
            self._requests.sendall(request)
        finally:
            os.close(status)
        heard = os.fdopen(told, buffering=1)
        return Forked(int(heard.readline()), heard)


@contextmanager
def forking(environment: Mapping[str, str]) -> Iterator[ForkServer]:
    """A server while the block runs; what it imports sees that environment."""
    here, there = socket.socketpair()
    command = [sys.executable, "-m", "tests.support.fork_server"]
    with (
        here,
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=there.fileno(), start_new_session=True
        ) as process,
    ):
        there.close()
        try:
            yield ForkServer(process.pid, here)
        finally:
            here.close()
            process.wait()


def _main() -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    # A fork has the calling thread alone: a lock that another one held would stay held. Polars' allocator has
    # threads of its own, and sees to its locks.
    assert threading.active_count() == 1, threading.enumerate()
    requests = socket.socket(fileno=os.dup(0))
    if (module := _forked(requests)) is not None:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _forked(requests: socket.socket) -> str | None:
    """The module to be run, in each process that is forked off; None in the server, at its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what has ended is reaped by the system
    while True:
        size, streams, _, _ = socket.recv_fds(requests, 4, 3)
        if not size:
            return None
        request = json.loads(requests.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        out, err, status = streams
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if child := os.fork():
                _watch(child, status)
            requests.close()
            os.close(status)
            return _become(request["arguments"], request["environment"], out, err)
        for each in streams:
            os.close(each)


def _watch(child: int, status: int) -> NoReturn:
    """Say who the child is and how it ended, and end as well."""
    os.write(status, f"{child}\n".encode())
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.write(status, f"{ended}\n".encode())
    os._exit(0)


def _become(arguments: Sequence[str], environment: Mapping[str, str], out: int, err: int) -> str:
    """Make this process what `python -m` of these arguments would have started; the module's name."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, stream in enumerate((nothing, out, err)):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(environment)
    module, *sys.argv[1:] = arguments
    _read_settings(is_command=module.startswith("flows."))
    warnings.filterwarnings("ignore", message=".*found in sys.modules after import", category=RuntimeWarning)
    return module


def _read_settings(*, is_command: bool) -> None:
    """Have Prefect read the environment again, which it does when it is imported."""
    from prefect import context
    from prefect.logging.configuration import setup_logging

    from flows.terminal import prefect_server

    if is_command:
        prefect_server.configure()
    context.refresh_global_settings_context()
    setup_logging(incremental=False)


if __name__ == "__main__":
    _main()
