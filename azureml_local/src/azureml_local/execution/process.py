"""Processes that outlive the server which started them, and are found again by the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

# The shell stays beside the command to write down how it ended, for whichever server asks later. Its name
# ($0) is the directory, by which the process is found again.
_SCRIPT = '"$@"; code=$?; printf %s "$code" > "$0/exit.new"; mv "$0/exit.new" "$0/exit"'

# What kill -9 or a lost machine leaves: no exit status at all.
LOST = -1

_LOOK_AGAIN = 0.02  # seconds between looks at processes that are to end
_MOVING = 1.0  # seconds that the shell may take to end, once it has written the status down
# In the environment of the command and whatever it starts: by it daemons are found, which leave their parents
# and the session.
_MARK = "AZUREML_LOCAL_NODE"


class Detached:
    """A command in a session of its own, known by its directory.

    The directory receives `exit` with the command's status when it ends.
    """

    def __init__(self, directory: Path, process: psutil.Process | None) -> None:
        self._directory = directory
        self._process = process

    @classmethod
    def start(
        cls, directory: Path, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], log: Path
    ) -> Detached:
        """Run `command` in `cwd`; its output is appended to `log`."""
        (directory / "exit").unlink(missing_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT, str(directory), *command],
                cwd=cwd,
                env={**env, _MARK: str(directory)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # From here on psutil holds it, as it would a process found again; Popen must not wait for it.
        process.returncode = 0
        started = psutil.Process(process.pid)
        _await_command_line(started)
        return cls(directory, started)

    @classmethod
    def find(cls, directory: Path) -> Detached | None:
        """The command started in that directory, running or ended; None when there never was one."""
        for process in psutil.process_iter(["cmdline"]):
            arguments = process.info["cmdline"] or []
            if arguments[1:4] == ["-c", _SCRIPT, str(directory)]:
                return cls(directory, process)
        return cls(directory, None) if (directory / "exit").exists() else None

    def exit_code(self) -> int | None:
        """The command's exit status, None while it runs, LOST when it ended without leaving one."""
        running = self._running()
        with suppress(FileNotFoundError):  # read after the look at the process, which writes before it ends
            code = int((self._directory / "exit").read_text())
            self._await_end()
            return code
        return None if running else LOST

    def end_rest(self) -> None:
        """End at once what the command has left running, as the end of a container does."""
        self.kill(grace=0.0)

    def kill(self, grace: float = 5.0) -> None:
        """End the command and everything it started: asked first, then forced after `grace` seconds."""
        tree = self._tree()
        for process in tree:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        # psutil's own wait goes on until a zombie is reaped, and some machines' first process takes seconds.
        ends = time.monotonic() + grace
        while any(map(_breathes, tree)) and time.monotonic() < ends:
            time.sleep(_LOOK_AGAIN)
        while tree := [process for process in {*tree, *self._tree()} if _breathes(process)]:
            for process in tree:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            time.sleep(_LOOK_AGAIN)
        self._reap()

    def _running(self) -> bool:
        if self._process is None:
            return False
        self._reap()
        return _breathes(self._process)

    def _reap(self) -> None:
        """Leave no zombie of a process that this one started."""
        if self._process is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._process.pid, os.WNOHANG)

    def _await_end(self) -> None:
        """Leave no zombie of the shell, which ends as soon as it has written the status down."""
        ends = time.monotonic() + _MOVING
        while self._running() and time.monotonic() < ends:
            time.sleep(_LOOK_AGAIN / 20)
        self._reap()

    def _tree(self) -> list[psutil.Process]:
        """The shell, its descendants, whatever else is left in its session, and what carries its mark."""
        session = None if self._process is None else self._process.pid
        if session and psutil.pid_exists(session) and not (self._process and self._process.is_running()):
            session = None  # the system has given the number to somebody else
        found: set[psutil.Process] = set()
        if self._process is not None and session is not None:
            with suppress(psutil.NoSuchProcess):
                found = {self._process, *self._process.children(recursive=True)}
        mark = f"{_MARK}={self._directory}"
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                if os.getsid(pid) == session or _carries(pid, mark):
                    found.add(psutil.Process(pid))
        return [process for process in found if _breathes(process)]


def _await_command_line(process: psutil.Process) -> None:
    """Wait until the process shows the command line by which it is found again.

    Popen returns when the kernel has closed the old program's files, a moment before it has copied the
    arguments of the new one.
    """
    with suppress(psutil.NoSuchProcess):
        while not process.cmdline() and _breathes(process):
            time.sleep(_LOOK_AGAIN / 100)


def _carries(pid: int, variable: str) -> bool:
    """Whether the process was started with that variable; raises OSError where it is not ours to see."""
    if sys.platform != "linux":
        name, _, value = variable.partition("=")
        return psutil.Process(pid).environ().get(name) == value
    with open(f"/proc/{pid}/environ", "rb") as file:  # a tenth of the time that psutil takes
        return variable.encode() in file.read().split(b"\0")


def _breathes(process: psutil.Process) -> bool:
    """Whether it runs; a zombie has ended, somebody only has not looked yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
