"""The model servers that answer for deployments now, and how many requests each works on."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from azureml_local.execution.deployment import Deployment
from azureml_local.execution.gate import Gate
from azureml_local.execution.model_server import ModelServer


@dataclass
class Serving:
    """A deployment that answers: its server, and what the liveness probe has seen of it.

    `restart_at` is when a failed server is started again (monotonic seconds), None while it runs. Until a
    server that was `launched` again is `ready` it loads its model, and liveness does not ask it.
    """

    server: ModelServer
    deployment: Deployment
    ready: bool = True
    launched: float = field(default_factory=time.monotonic)
    probed: float = field(default_factory=time.monotonic)
    failures: int = 0
    crashes: int = 0
    restart_at: float | None = None


class Servers:
    """What answers, by the name of the deployment in any case.

    `lock` is held while it is decided which servers are wanted; once `closed` is set none is any more.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self._serving: dict[str, Serving] = {}
        self._gates: dict[str, Gate] = {}

    def get(self, name: str) -> Serving | None:
        """What answers for the deployment."""
        with self.lock:
            return self._serving.get(name.lower())

    def put(self, server: ModelServer, deployment: Deployment, *, ready: bool = True) -> Serving | None:
        """Let the server answer for the deployment, once it is ready; returns what answered before."""
        with self.lock:
            old = self.remove(deployment.name)
            self._serving[deployment.name.lower()] = Serving(server, deployment, ready)
            return old

    def change(self, deployment: Deployment) -> None:
        """Take over settings of a deployment that go with the server it has."""
        with self.lock:
            self._gates.pop(deployment.name.lower(), None)
            if serving := self._serving.get(deployment.name.lower()):
                serving.deployment = deployment

    def remove(self, name: str) -> Serving | None:
        """Let nothing answer for the deployment any more; returns what did."""
        with self.lock:
            self._gates.pop(name.lower(), None)
            return self._serving.pop(name.lower(), None)

    def all(self) -> list[Serving]:
        """Everything that answers."""
        with self.lock:
            return list(self._serving.values())

    def answering(self, name: str) -> ModelServer | None:
        """The server that answers for the deployment, None when there is none or it is started again."""
        serving = self.get(name)
        return None if serving is None or serving.restart_at is not None else serving.server

    def gate(self, deployment: Deployment) -> Gate:
        """What bounds the requests that the deployment works on at a time."""
        with self.lock:
            key = deployment.name.lower()
            if key not in self._gates:
                self._gates[key] = Gate(deployment.concurrency * deployment.instances)
            return self._gates[key]
