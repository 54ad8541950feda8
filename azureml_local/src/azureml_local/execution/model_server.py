"""The process that serves one deployment."""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from azureml_local.execution.process import Detached

# What the server's own environment must not hand to a user's model.
_WITHHELD = ("IDENTITY_", "AZURE_", "AZUREML_", "ARM_", "REGISTRY_DISCOVERY_")


class ModelServer:
    """A model server in a directory of its own, which outlives the workspace server that started it."""

    def __init__(self, directory: Path, process: Detached) -> None:
        self.directory = directory
        self._process = process

    @classmethod
    def start(
        cls, directory: Path, *, model: Path | None, script: Path | None, rows: int, env: Mapping[str, str]
    ) -> ModelServer:
        """Start the process; it announces its port once the model is loaded."""
        directory.mkdir(parents=True, exist_ok=True)
        _announcement(directory).unlink(missing_ok=True)
        command = [sys.executable, "-m", "azureml_local.serving"]
        command += ["--announce", str(_announcement(directory)), "--rows", str(rows)]
        if model is not None:
            command += ["--model", str(model)]
        if script is not None:
            command += ["--script", str(script)]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_WITHHELD)}
        environment = inherited | {"PYTHONUNBUFFERED": "1"} | dict(env)
        cwd = directory if script is None else script.parent
        process = Detached.start(directory, command, cwd=cwd, env=environment, log=log_path(directory))
        return cls(directory, process)

    @classmethod
    def find(cls, directory: Path) -> ModelServer | None:
        """The server that was started in that directory, running or ended."""
        process = Detached.find(directory)
        return None if process is None else cls(directory, process)

    @property
    def port(self) -> int | None:
        """The port on 127.0.0.1; None until the model is loaded."""
        with suppress(FileNotFoundError):
            return int(_announcement(self.directory).read_text())
        return None

    def healthy(self, timeout: float) -> bool:
        """Whether it answers a probe within `timeout` seconds."""
        port = self.port
        if port is None:
            return False
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request("GET", "/health")
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
    return directory / "port"
