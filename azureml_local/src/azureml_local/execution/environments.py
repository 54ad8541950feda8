"""The Pythons that jobs and scoring scripts run in: the node's, or those that uv builds for environments."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from azureml_local.assets import environments
from azureml_local.assets.packages import Packages
from azureml_local.components.definitions import ENVIRONMENT
from azureml_local.errors import BadRequest, ServiceError
from azureml_local.state.workspace import WorkspaceState

# Where a job's artifacts have the log of an image that was built for it.
BUILD_LOG = "azureml-logs/20_image_build_log.txt"

_LOOK_AGAIN = 0.05  # seconds between looks at uv
_BUILT = "built"  # the file that says that nothing is missing
_ERROR_LINES = 3


class NoUv(RuntimeError):
    """Environments are to be built, and the program that builds them is not installed."""


class BuildFailed(ServiceError):
    """An environment cannot be built, as a job that asks for it ends; `why` is for whoever else does."""

    def __init__(self, why: str) -> None:
        # Code and first sentence as users report them (MG-Cafe/MLOps_Workshop issue 8).
        message = f"Image build failed. For more details, check log file {BUILD_LOG}. {why}"
        super().__init__(400, "UserError", message)
        self.why = why


class Environments:
    """Builds an environment when it is first asked for, and finds it again by what it has.

    Under `--environments node` there is nothing to build: what runs does so in the node's Python, which is
    the server's own unless `--node-python` names another. The registry's own steps always have the server's.
    """

    def __init__(self, state: WorkspaceState) -> None:
        self._state = state
        self._path = state.settings.cache_path / "environments"
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def python(self, reference: str | None, log: Path, look: Callable[[float], None]) -> Path | None:
        """The folder of the environment's executables; None where the server's own Python stands for it.

        `look` is called with seconds to wait while uv works, and may raise to end it. The log is added to.
        Raises BuildFailed when the environment cannot be built.
        """
        if reference == ENVIRONMENT:
            return None
        if self._state.settings.scenario.environments == "node" or reference is None:
            return self._node
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            asked = environments.asked(self._state, reference)
        except BadRequest as error:
            _add(log, error.message)
            raise BuildFailed(error.message) from error
        if asked is None:
            _add(log, f"{reference} is an image alone, which is not run here: the node's Python is.")
            return self._node
        return self._built(asked, log, look)

    @property
    def _node(self) -> Path | None:
        python = self._state.settings.scenario.node_python
        return None if python is None else python.parent

    def _built(self, asked: Packages, log: Path, look: Callable[[float], None]) -> Path:
        described = json.dumps([asked.python, asked.requirements])
        folder = self._path / hashlib.sha256(described.encode()).hexdigest()[:16]
        with self._locks[folder.name]:
            if not (folder / _BUILT).exists():
                shutil.rmtree(folder, ignore_errors=True)
                self._build(asked, folder, log, look)
                (folder / _BUILT).touch()
        return folder / "bin"

    def _build(self, asked: Packages, folder: Path, log: Path, look: Callable[[float], None]) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        requirements = folder.with_suffix(".txt")
        requirements.write_text("\n".join(asked.requirements) + "\n")
        if asked.left_out:
            _add(log, f"Left out, as wheels bring it along: {', '.join(asked.left_out)}.")
        version = ["--python", _interpreter(asked.python)] if asked.python else []
        _run(["venv", "--no-project", *version, str(folder)], log, look)
        if asked.requirements:
            _run(["pip", "install", "--python", str(folder), "-r", str(requirements)], log, look)


def _interpreter(version: str) -> str:
    """The server's own Python if it is of that version, else the version, for uv to find or to download.

    It does not find every Python that is installed, such as one of pyenv's.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    return sys.executable if version == own else version


def _add(log: Path, line: str) -> None:
    with log.open("a") as output:
        output.write(f"{line}\n")


def _run(arguments: Sequence[str], log: Path, look: Callable[[float], None]) -> None:
    """Run uv to its end; what it says goes to the log."""
    with log.open("a") as output:
        output.write(f"+ uv {' '.join(arguments)}\n")
        output.flush()
        command = [uv(), "--color", "never", "--no-progress", *arguments]
        process = subprocess.Popen(
            command,
            cwd=log.parent,  # not where the server happens to run: a project there may say what uv does in it
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            while process.poll() is None:
                look(_LOOK_AGAIN)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode:
        raise BuildFailed(" ".join(log.read_text(errors="replace").split("\n")[-_ERROR_LINES - 1 :]).strip())


def uv() -> str:
    """The program that builds environments; raises NoUv where it is not installed."""
    beside = Path(sys.executable).parent  # where pip puts it
    found = shutil.which("uv", path=f"{beside}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
    if found is None:
        raise NoUv('--environments uv needs uv. Install it: pip install "azureml-local[environments]"')
    return found
