"""The deployments' model servers: started, replaced, ended, and found again after a restart."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from azureml_local.errors import NotFound, ServiceError
from azureml_local.execution import container
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.deployment_bills import DeploymentBills
from azureml_local.execution.deployment_records import DeploymentRecords
from azureml_local.execution.environments import Environments
from azureml_local.execution.liveness import Liveness
from azureml_local.execution.model_server import ModelServer
from azureml_local.execution.server_start import ServerStart
from azureml_local.execution.servers import Servers
from azureml_local.state.document import D, Kind
from azureml_local.state.documents import DEPLOYMENTS, ENDPOINTS, provisioning_state
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)


class Deployments:
    """Runs one model server a deployment, whatever its number of instances; those bound its concurrency."""

    def __init__(self, state: WorkspaceState, environments: Environments) -> None:
        self._state = state
        self._records = DeploymentRecords(state.store, state.settings.deployments_path)
        self._bills = DeploymentBills(state.ledger)
        self.servers = Servers()
        self._start = ServerStart(state, self._records, self.servers, environments)
        self._liveness = Liveness(self.servers, self._start)

    def deploy(self, name: str) -> None:
        """Start the deployment's model server, wait until it is ready, and let it answer from then on.

        Raises:
            ServiceError: the model cannot be had, the container crashed, or never became ready. A server
                that answered before goes on answering.
        """
        deployment = self._records.settings(name)
        self._bills.start(deployment)
        directory = self._records.home(name) / uuid4().hex[:8]
        self._records.note_starting(name, directory.name)
        try:
            self._start.await_machines(name, directory)
            server = self._start.launch(deployment, directory)
            self._start.await_ready(server, deployment)
        except ServiceError as error:
            container.note(directory, f"UserContainerStart: Failed ({error.message})")
            raise
        self._replace(deployment, server)

    def update(self, name: str) -> None:
        """Take over settings that need no new server: instances, time-outs, probes."""
        deployment = self._records.settings(name)
        self._bills.start(deployment)
        self.servers.change(deployment)

    def stop(self, name: str) -> None:
        """End every process of the deployment and its bill, and remove its files."""
        with self.servers.lock:
            self.servers.remove(name)
            with suppress(NotFound):
                self._records.note_serving(name, None)
            running = self._records.running(name)
        for server in running:
            server.kill()
        self._bills.stop(name)
        shutil.rmtree(self._records.home(name), ignore_errors=True)

    def stop_all(self, endpoint: str) -> None:
        """Delete every deployment of the endpoint."""
        for name, _ in self._records.all(endpoint):
            self.stop(name)
            self._records.forget(name)

    def logs(self, name: str, part: str | None, tail: int | None) -> str:
        """What the deployment's containers wrote, newest server's last `tail` lines."""
        document = self._records.get(name)
        latest = document.get("starting") or document.get("serving")
        directory = self._records.home(name) / latest if latest else None
        return container.logs(directory, part, tail, provisioning_state(document))

    def resume(self) -> None:
        """After a start of the workspace: take up every deployment, and watch those that answer."""
        self.take_up()
        self._liveness.start()

    def take_up(self) -> None:
        """Find the servers that still run, and start again those that do not."""
        for name, endpoint in self._state.store.list(ENDPOINTS):
            if provisioning_state(endpoint) == "Deleting":
                self._complete(ENDPOINTS, name, self.stop_all)
        for name, document in self._records.all():
            state = provisioning_state(document)
            if state == "Deleting":
                self._complete(DEPLOYMENTS, name, self.stop)
                continue
            if serving := document.get("serving"):
                self._find_or_restart(Deployment.of(name, document), self._records.home(name) / serving)
            if state in ("Creating", "Updating"):
                self._complete(DEPLOYMENTS, name, self._finish_start)

    def end_all(self) -> None:
        """End every deployment's processes and bill, and remove its files; the documents stay."""
        for name, _ in self._records.all():
            self.stop(name)

    def close(self) -> None:
        """End every model server; their deployments stay and come back with the next start."""
        self.servers.closed.set()
        self._liveness.join()
        for name, _ in self._records.all():
            for server in self._records.running(name):
                server.kill()
            self._bills.stop(name)

    def _replace(self, deployment: Deployment, server: ModelServer) -> None:
        with self._start.wanted(deployment.name, server.directory):
            old = self.servers.put(server, deployment)
            self._records.note_serving(deployment.name, server.directory.name)
        if old is not None:
            old.server.kill()
            shutil.rmtree(old.server.directory, ignore_errors=True)

    def _complete(self, kind: Kind[D], name: str, work: Callable[[str], None]) -> None:
        """Do again, in a thread, what a killed workspace was in the middle of, and end its operations."""
        operations = self._state.operations.in_progress(kind, name)

        def run() -> None:
            error: ServiceError | None = None
            try:
                work(name)
            except ServiceError as refused:
                error = refused
            for operation in operations:
                self._state.operations.finish(operation, error)

        threading.Thread(target=run, name=f"resume-{name}", daemon=True).start()

    def _finish_start(self, name: str) -> None:
        """Wait for a server that is on its way; start one if there is none."""
        starting = self._records.get(name).get("starting")
        server = ModelServer.find(self._records.home(name) / starting) if starting else None
        if server is None or server.exit_code() is not None:
            self.deploy(name)
            return
        deployment = self._records.settings(name)
        self._start.await_ready(server, deployment)
        self._replace(deployment, server)

    def _find_or_restart(self, deployment: Deployment, directory: Path) -> None:
        """Let the server that a previous workspace left answer, or start it again."""
        self._bills.start(deployment)
        server = ModelServer.find(directory)
        if server is not None and server.exit_code() is None:
            logger.info("found the model server of %s again", deployment.name)
        else:
            try:
                server = self._start.launch(deployment, directory)
            except ServiceError as error:
                logger.error("the deployment %s cannot be started again: %s", deployment.name, error.message)
                return
        self.servers.put(server, deployment, ready=False)
