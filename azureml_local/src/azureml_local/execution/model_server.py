"""The process that serves one deployment."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from azureml_local.execution.inherited import inherited
from azureml_local.execution.process import Detached
from azureml_local.serving.guard import Announcement


@dataclass(frozen=True)
class Served:
    """What a model server answers for; `rows` at a time.

    `python` is the folder of the executables that the script runs with, where they are not the server's own.
    """

    model: Path | None
    script: Path | None
    rows: int
    python: Path | None = None


class ModelServer:
    """A model server in a directory of its own, which outlives the workspace server that started it."""

    def __init__(self, directory: Path, process: Detached) -> None:
        self.directory = directory
        self._process = process

    @classmethod
    def start(cls, directory: Path, served: Served, env: Mapping[str, str]) -> ModelServer:
        """Start the process; it announces where it answers once the model is loaded."""
        directory.mkdir(parents=True, exist_ok=True)
        _announcement(directory).unlink(missing_ok=True)
        command = [sys.executable, "-m", "azureml_local.serving"]
        command += ["--announce", str(_announcement(directory)), "--rows", str(served.rows)]
        for option in ("model", "script", "python"):
            if (path := getattr(served, option)) is not None:
                command += [f"--{option}", str(path)]
        passed = inherited()
        if served.python is not None:
            passed["VIRTUAL_ENV"] = str(served.python.parent)
        programs = served.python or Path(sys.executable).parent
        path = f"{programs}{os.pathsep}{passed.get('PATH', os.defpath)}"
        environment = passed | {"PATH": path, "PYTHONUNBUFFERED": "1"} | dict(env)
        cwd = directory if served.script is None else served.script.parent
        process = Detached.start(directory, command, cwd=cwd, env=environment, log=log_path(directory))
        return cls(directory, process)

    @classmethod
    def find(cls, directory: Path) -> ModelServer | None:
        """The server that was started in that directory, running or ended."""
        process = Detached.find(directory)
        return None if process is None else cls(directory, process)

    @property
    def address(self) -> Announcement | None:
        """Where it answers; None until the model is loaded."""
        return Announcement.read(_announcement(self.directory))

    def healthy(self, timeout: float) -> bool:
        """Whether it answers a probe within `timeout` seconds."""
        address = self.address
        if address is None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", address.port, timeout=timeout)
        try:
            connection.request("GET", "/health", headers=address.headers)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def exit_code(self) -> int | None:
        """The process's exit status, None while it runs."""
        return self._process.exit_code()

    def kill(self) -> None:
        """End the process and whatever it started."""
        self._process.kill()


def log_path(directory: Path) -> Path:
    """Where a server in that directory writes what its container would log."""
    return directory / "console.log"


def _announcement(directory: Path) -> Path:
    return directory / "address.json"
