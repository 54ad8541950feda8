"""Ends what a process of the suite has started, once that process is gone, however it went.

Run as a program it waits for the end of its standard input: the other end of that pipe is held by the suite's
process, and closes when it is interrupted or killed as well. Nothing is left running by a suite that was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import uuid4

import psutil

MARK = "FINETUNE_SUITE"  # in the environment of everything that a process of the suite starts
_PATIENCE = 10.0  # seconds between asking a process to end and ending it
_OFTEN = 0.1  # seconds between two looks whether it has


@dataclass
class Cleaner:
    """The program beside a process of the suite, and the mark of what that process starts."""

    mark: str = field(default_factory=lambda: uuid4().hex)
    _program: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Mark this process' environment, and start the program in a session that Ctrl-C does not reach."""
        os.environ[MARK] = self.mark
        self._program = subprocess.Popen(
            [sys.executable, "-I", __file__, self.mark], stdin=subprocess.PIPE, start_new_session=True
        )

    def finish(self) -> None:
        """Let it clean now, and wait until it has."""
        if self._program is not None:
            self._program.communicate()
            os.environ.pop(MARK, None)

    def marked(self) -> list[psutil.Process]:
        """What was started by this process or below it, wherever it hangs in the tree of processes by now."""
        own = {os.getpid(), 0 if self._program is None else self._program.pid}
        return [process for process in _marked(self.mark) if process.pid not in own]


def _marked(mark: str) -> list[psutil.Process]:
    """The processes with that mark in their environment; those that have ended are none."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _clean(mark: str) -> None:
    while left := _others(mark):  # they may start more
        for process in left:
            with suppress(psutil.Error):
                process.terminate()
        asked = time.monotonic()
        # Not by psutil's wait: whose parent has not asked for its status is there, though it has ended.
        while (stubborn := _others(mark)) and time.monotonic() < asked + _PATIENCE:
            time.sleep(_OFTEN)
        for process in stubborn:
            with suppress(psutil.Error):
                process.kill()


def _others(mark: str) -> list[psutil.Process]:
    return [process for process in _marked(mark) if process.pid != os.getpid()]


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _clean(sys.argv[1])
