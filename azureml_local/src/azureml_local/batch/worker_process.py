"""A worker as the driver has it: a process that scores one mini batch at a time, and can be ended."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WORKER = Path(__file__).with_name("worker.py")
_AT_ONCE = 65536  # bytes


class WorkerError(Exception):
    """The script failed, with its traceback; or the process ended without an answer."""


class TookTooLong(WorkerError):
    """There was no answer within the time-out."""


@dataclass(frozen=True)
class Scored:
    """What run() has returned for a mini batch: the lines of the output, and the number of elements."""

    rows: str
    count: int


class WorkerProcess:
    """One process; whoever starts it ends it."""

    def __init__(
        self, script: Path, arguments: Sequence[str], variables: Mapping[str, str], log: Path
    ) -> None:
        """Start the process and wait for its init(); raises WorkerError."""
        log.parent.mkdir(parents=True, exist_ok=True)
        asked, self._asks = os.pipe()
        self._answers, answered = os.pipe()
        try:
            with log.open("ab") as output:
                self._process = subprocess.Popen(
                    [
                        shutil.which("python") or sys.executable,  # the environment's, by PATH
                        *(str(_WORKER), str(script), str(asked), str(answered)),
                        *arguments,
                    ],
                    env={**os.environ, **variables},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(asked, answered),
                )
        except OSError:
            for descriptor in (self._asks, self._answers):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (asked, answered):
                os.close(descriptor)
        self._read = b""
        try:
            self._answer(None)
        except WorkerError:
            self.end()
            raise

    def score(self, files: Sequence[str], timeout: float) -> Scored:
        """Score a mini batch; raises WorkerError, after which the process may be used again if it lives."""
        line = json.dumps(list(files)).encode() + b"\n"
        try:
            while line:
                line = line[os.write(self._asks, line) :]
        except BrokenPipeError:
            raise self._ended() from None
        given = self._answer(timeout)
        return Scored(given["rows"], given["count"])

    @property
    def lives(self) -> bool:
        """Whether it can be asked again."""
        return self._process.poll() is None

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for descriptor in (self._asks, self._answers):
            with suppress(OSError):
                os.close(descriptor)

    def _answer(self, timeout: float | None) -> dict[str, Any]:
        until = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._read:
            left = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                raise TookTooLong(f"run() did not return within {timeout:g} seconds.")
            piece = os.read(self._answers, _AT_ONCE)
            if not piece:
                raise self._ended()
            self._read += piece
        line, _, self._read = self._read.partition(b"\n")
        given: dict[str, Any] = json.loads(line)
        if "error" in given:
            raise WorkerError(given["error"].rstrip())
        return given

    def _ended(self) -> WorkerError:
        return WorkerError(f"The worker ended with status {self._process.wait()} in the middle of its work.")
