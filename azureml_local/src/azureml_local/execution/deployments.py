"""The deployments' model servers: started, watched, replaced, ended, and found again after a restart."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, Conflict, NotFound, ServiceError
from azureml_local.execution import container
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.gate import Gate
from azureml_local.execution.model_server import ModelServer
from azureml_local.state.faults import Crash, NoCapacity
from azureml_local.state.ledger import Row
from azureml_local.state.store import Document
from azureml_local.state.workspace import WorkspaceState

logger = logging.getLogger(__name__)

ENDPOINTS = "onlineEndpoints"
DEPLOYMENTS = "deployments"
FOREIGN_ENDPOINTS = "foreignEndpoints"  # names held by other workspaces of the region

_LOOK = 0.1  # seconds between looks at a server that is starting
_WATCH = 0.5  # seconds between looks at those that serve
_MAX_BACKOFF = 30.0  # seconds between restarts of a container that keeps crashing


@dataclass
class _Serving:
    """A deployment that answers: its server, and what the liveness probe has seen of it."""

    server: ModelServer
    deployment: Deployment
    probed: float = field(default_factory=time.monotonic)
    failures: int = 0
    crashes: int = 0
    restart_at: float | None = None


class Deployments:
    """Runs one model server a deployment, whatever its number of instances; those bound its concurrency.

    A deployment's document keeps, beside what clients see, `serving` and `starting`: the directories of the
    server that answers and of the one on its way. By these a restarted workspace finds every process again.
    """

    def __init__(self, state: WorkspaceState) -> None:
        self._state = state
        self._lock = threading.RLock()
        self._serving: dict[str, _Serving] = {}
        self._gates: dict[str, Gate] = {}
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="liveness", daemon=True)

    def deploy(self, name: str) -> None:
        """Start the deployment's model server, wait until it is ready, and let it answer from then on.

        Raises:
            ServiceError: the model cannot be had, the container crashed, or never became ready. A server
                that answered before goes on answering.
        """
        deployment = Deployment.of(name, self._document(name))
        self._bill(deployment)
        directory = self._home(name) / uuid4().hex[:8]
        self._change(name, starting=directory.name)
        try:
            server = self._launch(deployment, directory)
            self._await_ready(server, deployment)
        except ServiceError as error:
            container.note(directory, f"UserContainerStart: Failed ({error.message})")
            raise
        self._replace(deployment, server)

    def update(self, name: str) -> None:
        """Take over settings that need no new server: instances, time-outs, probes."""
        deployment = Deployment.of(name, self._document(name))
        self._bill(deployment)
        with self._lock:
            self._gates.pop(_key(name), None)
            if serving := self._serving.get(_key(name)):
                serving.deployment = deployment

    def stop(self, name: str) -> None:
        """End every process of the deployment and its meter, and remove its files."""
        with self._lock:
            self._serving.pop(_key(name), None)
            self._gates.pop(_key(name), None)
            with suppress(NotFound):
                self._change(name, starting=None, serving=None)
            servers = self._found(name)
        for server in servers:
            server.kill()
        self._stop_meter(name)
        shutil.rmtree(self._home(name), ignore_errors=True)

    def stop_all(self, endpoint: str) -> None:
        """Delete every deployment of the endpoint."""
        for name, _ in self._state.store.list(DEPLOYMENTS, f"{endpoint}/"):
            self.stop(name)
            self._state.store.delete(DEPLOYMENTS, name)

    def server(self, name: str) -> ModelServer | None:
        """The server that answers for the deployment, None when there is none."""
        with self._lock:
            serving = self._serving.get(_key(name))
            return None if serving is None or serving.restart_at is not None else serving.server

    def gate(self, deployment: Deployment) -> Gate:
        """What bounds the requests the deployment works on at a time."""
        with self._lock:
            key = _key(deployment.name)
            if key not in self._gates:
                self._gates[key] = Gate(deployment.concurrency * deployment.instances)
            return self._gates[key]

    def logs(self, name: str, part: str | None, tail: int | None) -> str:
        """What the deployment's containers wrote, newest server's last `tail` lines."""
        document = self._document(name)
        latest = document.get("starting") or document.get("serving")
        directory = self._home(name) / latest if latest else None
        return container.logs(directory, part, tail, document["properties"]["provisioningState"])

    def resume(self) -> None:
        """After a start of the workspace: adopt the servers that still run, start again those that do not."""
        for name, document in self._state.store.list(ENDPOINTS):
            if document["properties"]["provisioningState"] == "Deleting":
                self._complete(ENDPOINTS, name, self.stop_all)
        for name, document in self._state.store.list(DEPLOYMENTS):
            state = document["properties"]["provisioningState"]
            if state == "Deleting":
                self._complete(DEPLOYMENTS, name, self.stop)
                continue
            if document.get("serving"):
                self._adopt(Deployment.of(name, document), self._home(name) / document["serving"])
            if state in ("Creating", "Updating"):
                self._complete(DEPLOYMENTS, name, self._go_on)
        self._watcher.start()

    def close(self) -> None:
        """End every model server; their deployments stay and come back with the next start."""
        self._closed.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for name, _ in self._state.store.list(DEPLOYMENTS):
            for server in self._found(name):
                server.kill()
            self._stop_meter(name)

    def _launch(self, deployment: Deployment, directory: Path) -> ModelServer:
        try:
            model = addresses.resolve(self._state, deployment.model) if deployment.model else None
            code = addresses.resolve(self._state, deployment.code) if deployment.code else None
        except RuntimeError as error:  # the catalogue's: a registry model's weights cannot be had
            raise BadRequest(str(error), code="ModelDownloadFailed", target="model") from error
        endpoint, _, name = deployment.name.partition("/")
        fault = self._state.faults.at(
            "START", f"/onlineEndpoints/{endpoint}/deployments/{name}", NoCapacity, Crash
        )
        if isinstance(fault, NoCapacity):
            raise BadRequest(
                f"The region has no machine of size {deployment.size.name} to give: try again later, or use "
                "another size.",
                code="OutOfCapacity",
            )
        with self._current(deployment.name, directory):
            server = container.start(deployment, directory, model=model, code=code)
        if isinstance(fault, Crash):
            threading.Timer(fault.seconds, server.kill).start()
        return server

    @contextmanager
    def _current(self, name: str, directory: Path) -> Iterator[None]:
        """Hold still what servers are wanted; raises Conflict when that one is not, or not any more."""
        with self._lock:
            if self._closed.is_set():
                # Ends this thread alone: its operation stays in progress, for the next server to complete.
                raise SystemExit
            document = self._state.store.get(DEPLOYMENTS, name) or {}
            wanted = (document.get("starting"), document.get("serving"))
            if directory.name not in wanted:
                raise Conflict(
                    f"The deployment {name} was deleted or replaced while it was starting.",
                    code="OperationCanceled",
                )
            yield

    def _await_ready(self, server: ModelServer, deployment: Deployment) -> None:
        """Wait for the readiness probe. It asks more often than its period, as nobody gains by waiting."""
        probe = deployment.readiness
        deadline = time.monotonic() + probe.patience
        while not server.healthy(probe.timeout):
            with self._current(deployment.name, server.directory):
                crashed = server.exit_code() is not None
            if crashed or time.monotonic() > deadline:
                server.kill()
                raise container.failure(server, deployment, crashed=crashed)
            self._closed.wait(_LOOK)

    def _replace(self, deployment: Deployment, server: ModelServer) -> None:
        with self._current(deployment.name, server.directory):
            old = self._serving.get(_key(deployment.name))
            self._serving[_key(deployment.name)] = _Serving(server, deployment)
            self._gates.pop(_key(deployment.name), None)
            self._change(deployment.name, serving=server.directory.name, starting=None)
        if old is not None:
            old.server.kill()
            shutil.rmtree(old.server.directory, ignore_errors=True)

    def _complete(self, kind: str, name: str, work: Callable[[str], None]) -> None:
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

    def _go_on(self, name: str) -> None:
        """Wait for a server that is on its way; start one if there is none."""
        document = self._document(name)
        starting = document.get("starting")
        server = ModelServer.find(self._home(name) / starting) if starting else None
        if server is None or server.exit_code() is not None:
            self.deploy(name)
            return
        deployment = Deployment.of(name, document)
        self._await_ready(server, deployment)
        self._replace(deployment, server)

    def _adopt(self, deployment: Deployment, directory: Path) -> None:
        server = ModelServer.find(directory)
        self._bill(deployment)
        with self._lock:
            if server is not None and server.exit_code() is None:
                self._serving[_key(deployment.name)] = _Serving(server, deployment)
                logger.info("adopted the model server of %s", deployment.name)
                return
        try:
            server = self._launch(deployment, directory)
        except ServiceError as error:
            logger.error("the deployment %s cannot be started again: %s", deployment.name, error.message)
            return
        self._serving[_key(deployment.name)] = _Serving(server, deployment)

    def _watch(self) -> None:
        while not self._closed.wait(_WATCH):
            with self._lock:
                serving = list(self._serving.values())
            for each in serving:
                try:
                    self._look_after(each)
                except ServiceError as error:
                    logger.info("%s: %s", each.deployment.name, error.message)

    def _look_after(self, serving: _Serving) -> None:
        """The liveness probe: a server that has ended or stopped answering is started again."""
        now, probe = time.monotonic(), serving.deployment.liveness
        if serving.restart_at is not None:
            if now >= serving.restart_at:
                serving.server = self._launch(serving.deployment, serving.server.directory)
                serving.restart_at, serving.failures, serving.probed = None, 0, now + probe.initial_delay
            return
        crashed = serving.server.exit_code() is not None
        if not crashed and now - serving.probed >= probe.period:
            serving.probed = now
            alive = serving.server.healthy(probe.timeout)
            serving.failures = 0 if alive else serving.failures + 1
            serving.crashes = 0 if alive else serving.crashes
        if crashed or serving.failures >= probe.failure_threshold:
            logger.warning("the container of %s failed; starting it again", serving.deployment.name)
            serving.server.kill()
            serving.restart_at = now + min(_MAX_BACKOFF, 2**serving.crashes - 1)
            serving.crashes += 1

    def _bill(self, deployment: Deployment) -> None:
        """Start the meter, or change it where size or instances have changed."""
        price = deployment.size.price * deployment.instances
        with self._lock:
            row = self._meter(deployment.name)
            if row is not None and (row.vm_size, row.hourly_price) == (deployment.size.name, price):
                return
            self._stop_meter(deployment.name)
            endpoint = deployment.name.partition("/")[0]
            self._state.ledger.start("deployment", deployment.name, deployment.size.name, price, endpoint)

    def _stop_meter(self, name: str) -> None:
        if row := self._meter(name):
            self._state.ledger.stop(row.id)

    def _meter(self, name: str) -> Row | None:
        """The deployment's row that is running."""
        rows = self._state.ledger.rows()
        return next(
            (row for row in rows if row.running and row.kind == "deployment" and row.name == name), None
        )

    def _found(self, name: str) -> list[ModelServer]:
        """Every server of the deployment that still runs."""
        home = self._home(name)
        directories = sorted(home.iterdir()) if home.is_dir() else []
        found = (ModelServer.find(directory) for directory in directories)
        return [server for server in found if server is not None and server.exit_code() is None]

    def _home(self, name: str) -> Path:
        return self._state.settings.deployments_path.joinpath(*_key(name).split("/"))

    def _document(self, name: str) -> Document:
        document = self._state.store.get(DEPLOYMENTS, name)
        if document is None:
            raise NotFound(f"The deployment {name} does not exist.")
        return document

    def _change(self, name: str, **values: str | None) -> None:
        self._state.store.update(DEPLOYMENTS, name, lambda document: {**document, **values})


def _key(name: str) -> str:
    return name.lower()
