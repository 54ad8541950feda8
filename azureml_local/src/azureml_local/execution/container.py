"""What Azure would run as a deployment's container: its environment, its folders, its log."""

from __future__ import annotations

import os
import re
from collections import deque
from pathlib import Path

from azureml_local import model_folder
from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.model_server import ModelServer, Served, log_path

_INFERENCE_SERVER = "azmlinfsrv"  # the program by which one sees that the package is installed
_MODEL = re.compile(r".*/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)$", re.IGNORECASE)
_STORAGE_INITIALIZER = "StorageInitializer"


def start(
    deployment: Deployment, directory: Path, *, model: Path | None, code: Path | None, python: Path | None
) -> ModelServer:
    """Lay out the folders a scoring script expects and start the model server; raises BadRequest.

    `python` is the folder of the executables that the script runs with, where it is not the server's own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    environment = dict(deployment.environment_variables)
    script = None
    if code is not None and deployment.script is not None:
        script = _script(code, deployment.script)
        if python is not None and not (python / _INFERENCE_SERVER).is_file():
            # As users print it (azureml-examples #2760); what to do is added here.
            raise failure(
                "A required package azureml-inference-server-http is missing. Add it to the packages under "
                f"'pip:' in the environment's conda file, or install it in {python.parent}"
            )
        environment |= {"AML_APP_ROOT": str(code), "AZUREML_ENTRY_SCRIPT": deployment.script}
    if model is not None:
        environment["AZUREML_MODEL_DIR"] = str(_model_directory(directory, deployment.model, model))
        note(directory, f"ModelDownload: Succeeded ({deployment.model})")
    served = Served(model, script, deployment.concurrency, python)
    return ModelServer.start(directory, served, environment)


def failure(why: str) -> ServiceError:
    """The error of a deployment whose container did not become ready.

    Seen for a liveness probe, as users printed it (mlops-v2 #120); for what else goes wrong it is assumed.
    """
    return BadRequest(
        f"User container has crashed or terminated: {why}. Please see troubleshooting guide, available here: "
        "https://aka.ms/oe-tsg#error-resourcenotready",
        code="ResourceNotReady",
    )


def note(directory: Path, line: str) -> None:
    """Add a line to the events that precede the container's own log."""
    directory.mkdir(parents=True, exist_ok=True)
    with _events(directory).open("a") as file:
        file.write(line + "\n")


def logs(directory: Path | None, part: str | None, tail: int | None, state: str) -> str:
    """The log as the service shows it: the instance's status, its events, what the container wrote."""
    events = [] if directory is None else _tail(_events(directory), None)
    written = [] if directory is None else _tail(log_path(directory), tail)
    if part == _STORAGE_INITIALIZER:
        return "\n".join(events) + "\n"
    started = {"Succeeded": "Succeeded", "Failed": "Failed"}.get(state, "InProgress")
    head = ["Instance status:", "SystemSetup: Succeeded", f"UserContainerStart: {started}", ""]
    return "\n".join([*head, "Container events:", *events, "", "Container logs:", *written]) + "\n"


def _script(code: Path, name: str) -> Path:
    script = Path(os.path.normpath(code / name))
    if not script.is_relative_to(code) or not script.is_file():
        raise BadRequest(
            f"The scoring script {name!r} is not in the deployment's code: give its path relative to the "
            "code folder.",
            code="BadArgument",
            target="codeConfiguration.scoringScript",
        )
    return script


def _model_directory(directory: Path, reference: str | None, model: Path) -> Path:
    """AZUREML_MODEL_DIR: a folder that holds the model's file or folder under its own name.

    On Azure it is azureml-models/NAME/VERSION (recorded), which scripts go up from for a model beside it.
    """
    parent = directory / "azureml-models"
    if match := _MODEL.match(reference or ""):
        parent /= f"{match['name']}/{match['version']}"
    return model_folder.lay_out(parent, model)


def _tail(path: Path, lines: int | None) -> list[str]:
    if not path.exists():
        return []
    with path.open(errors="replace") as file:
        return list(deque((line.rstrip("\n") for line in file), maxlen=lines))


def _events(directory: Path) -> Path:
    return directory / "events.log"
