"""A Prefect server for as long as this process runs: no signal ends it, and one that dies is replaced."""

from __future__ import annotations

import atexit
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tasks.azure.failure import Cause, Failure
from tasks.core.log import logger

_PROCESS = Path(__file__).with_name("prefect_process.py")
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"  # the server would compile all of itself at each start
_END = 5.0  # seconds that the server has to end by itself
_REPLACEMENTS = 3  # what has ended so many would end the next


class TemporaryServer:
    """Answers on a socket that this process holds: whoever asks while it is replaced waits for the next.

    Its database, where Prefect's settings have it, outlives it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it with these variables beside those of this process."""
        inherited = {name: value for name, value in os.environ.items() if name != _NO_BYTECODE}
        self._environment = {**inherited, **environment}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}/api"
        self._has_answered = self._is_over = False
        self._changing = threading.Lock()
        self._process = self._start()
        threading.Thread(target=self._watch, name="prefect-server", daemon=True).start()
        atexit.register(self._stop)

    def await_health(self, limit: float) -> None:
        """Return when it answers; raises Failure when it has ended, or has not within so many seconds."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:  # the connection is accepted at once, and answered when the server is ready or lost when it ends
            direct.open(f"{self.address}/health", timeout=limit).close()
        except (OSError, http.client.HTTPException) as error:
            raise Failure(
                "Prefect's temporary server does not start.",
                "Try again when the machine is less busy, or set PREFECT_API_URL to a server that runs.",
                f"{type(error).__name__}: {error}",
                cause=Cause.PREFECT,
            ) from error
        self._has_answered = True

    def _start(self) -> subprocess.Popen[bytes]:
        listener = self._listener.fileno()
        with _deaf():
            return subprocess.Popen(
                # -P: beside the file are modules of common names.
                [sys.executable, "-P", str(_PROCESS), str(listener)],
                env=self._environment,
                stdin=subprocess.PIPE,
                pass_fds=[listener],
            )

    def _watch(self) -> None:
        """Replace it when it dies, as by the system that runs out of memory."""
        for left in reversed(range(_REPLACEMENTS + 1)):
            code = self._process.wait()
            with self._changing:
                if self._is_over:
                    return
                if not self._has_answered or not left:
                    break
                logger().warning("Prefect's temporary server has ended (%d): another takes its place.", code)
                self._process = self._start()
        logger().warning("Prefect's temporary server has ended (%d).", code)
        self._listener.close()  # whoever asks shall not wait

    def _stop(self) -> None:
        with self._changing:
            self._is_over = True
        if self._process.stdin is not None:
            self._process.stdin.close()  # by which it ends
        try:
            self._process.wait(timeout=_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def _deaf() -> Iterator[None]:
    """Keep the signals that end a run from the process that is started within, which inherits the blocking.

    A terminal, or what manages processes, signals all of them, and the run still needs the server while it
    cleans up.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
