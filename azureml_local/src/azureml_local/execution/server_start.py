"""Starting a deployment's model server, and waiting until it is ready."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, Conflict
from azureml_local.execution import container
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.deployment_records import DeploymentRecords
from azureml_local.execution.environments import BuildFailed, Environments
from azureml_local.execution.model_server import ModelServer, log_path
from azureml_local.execution.servers import Servers
from azureml_local.state.faults import Crash, LostLock, NoCapacity
from azureml_local.state.workspace import WorkspaceState

_LOOK_AGAIN = 0.1  # seconds between looks at a server that is starting
# Seconds at the pace `real`, before there is a container: machines, the image, the model's files. Azure takes
# minutes (7 were recorded in 2025 for a CPU size); like other operations, it is quicker here.
_BEFORE_START = 20.0
_UNHEALTHY = "HTTP probe failed with statuscode: 502"


class ServerStart:
    """Starts servers that are still wanted when their turn comes."""

    def __init__(
        self,
        state: WorkspaceState,
        records: DeploymentRecords,
        servers: Servers,
        environments: Environments,
    ) -> None:
        self._state = state
        self._records = records
        self._servers = servers
        self._environments = environments

    def await_machines(self, name: str, directory: Path) -> None:
        """At the pace `real`, wait for machines, image and files; raises as `wanted` does."""
        ready = self._state.clock.timestamp() + self._seconds(_BEFORE_START)
        while self._state.clock.timestamp() < ready:
            with self.wanted(name, directory):
                pass
            self._servers.closed.wait(_LOOK_AGAIN)

    def launch(self, deployment: Deployment, directory: Path) -> ModelServer:
        """Start the server in that directory; raises ServiceError when it cannot be or is not wanted."""
        try:
            model = addresses.resolve(self._state, deployment.model) if deployment.model else None
            code = addresses.resolve(self._state, deployment.code) if deployment.code else None
        except RuntimeError as error:  # the catalogue's: a registry model's weights cannot be had
            raise BadRequest(str(error), code="ModelDownloadFailed", target="model") from error
        endpoint, _, name = deployment.name.partition("/")
        fault = self._state.faults.at(
            "START", f"/onlineEndpoints/{endpoint}/deployments/{name}", NoCapacity, Crash, LostLock
        )
        if isinstance(fault, NoCapacity):
            # Documented (troubleshooting of online endpoints); it comes with the code of a quota.
            raise BadRequest(
                "The specified VM size failed to provision due to a lack of Azure Machine Learning capacity. "
                "Retry later or try deploying to a different region.",
                code="OutOfQuota",
            )
        if isinstance(fault, LostLock):  # documented there as well
            raise Conflict(
                "Operation was canceled waiting for lock confirmation from a previous operation.",
                code="OperationCanceled",
            )
        python = self._python(deployment, directory)
        with self.wanted(deployment.name, directory):
            server = container.start(deployment, directory, model=model, code=code, python=python)
        if isinstance(fault, Crash):
            threading.Timer(fault.seconds, server.kill).start()
        return server

    def await_ready(self, server: ModelServer, deployment: Deployment) -> None:
        """Wait for the readiness probe; raises ServiceError when it fails for good.

        It asks more often than its period, as nobody gains by waiting. At the pace `real` it begins after its
        initial delay, and a container whose liveness probe fails for good before it is ready is given up.
        """
        readiness, liveness = deployment.readiness, deployment.liveness
        is_real = self._state.settings.pace == "real"
        now = self._state.clock.timestamp if is_real else time.monotonic
        began = now()
        while now() - began < self._seconds(readiness.initial_delay) or not server.healthy(readiness.timeout):
            with self.wanted(deployment.name, server.directory):
                code = server.exit_code()
            if code is not None:
                why = f"the process ended with status {code}"
            elif is_real and now() - began > liveness.patience and not server.healthy(liveness.timeout):
                why = f"Liveness probe failed: {_UNHEALTHY}"
            elif now() - began > readiness.patience and not server.healthy(readiness.timeout):
                why = f"Readiness probe failed: {_UNHEALTHY}"
            else:
                self._servers.closed.wait(_LOOK_AGAIN)
                continue
            server.kill()
            raise container.failure(why)

    def _python(self, deployment: Deployment, directory: Path) -> Path | None:
        """The executables of the environment that the scoring script runs in; None for the server's own.

        Raises BadRequest when it cannot be built: its log is then what the container's log has. A model
        without a script is loaded by the server's own Python, as Azure's images for MLflow have one.
        """
        if deployment.code is None:
            return None

        def look(seconds: float) -> None:
            with self.wanted(deployment.name, directory):
                pass
            self._servers.closed.wait(seconds)

        directory.mkdir(parents=True, exist_ok=True)
        try:
            return self._environments.python(deployment.environment, log_path(directory), look)
        except BuildFailed as error:
            # The code is documented (troubleshooting of online endpoints), the words are ours.
            raise BadRequest(
                f"The environment's image could not be built. The log of the build is in the deployment's "
                f"logs. {error.why}",
                code="ImageBuildFailure",
                target="environmentId",
            ) from error

    def _seconds(self, given: float) -> float:
        """What takes that long: nothing, unless at the pace `real`."""
        return given if self._state.settings.pace == "real" else 0.0

    @contextmanager
    def wanted(self, name: str, directory: Path) -> Iterator[None]:
        """Hold still what servers are wanted; raises Conflict when that one is not, or not any more."""
        with self._servers.lock:
            if self._servers.closed.is_set():
                # Ends this thread alone: its operation stays in progress, for the next server to complete.
                raise SystemExit
            document = self._records.find(name)
            if document is None or directory.name not in (
                document.get("starting"),
                document.get("serving"),
            ):
                raise Conflict(
                    f"The deployment {name} was deleted or replaced while it was starting.",
                    code="OperationCanceled",
                )
            yield
