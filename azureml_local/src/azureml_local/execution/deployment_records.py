"""What is kept of deployments: their documents, and the directories in which their servers run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from azureml_local.errors import NotFound
from azureml_local.execution.deployment import Deployment
from azureml_local.execution.model_server import ModelServer
from azureml_local.state.documents import DEPLOYMENTS
from azureml_local.state.endpoint_documents import DeploymentDocument
from azureml_local.state.store import Store


class DeploymentRecords:
    """Deployments by their full names ENDPOINT/DEPLOYMENT.

    A document keeps, beside what clients see, `serving` and `starting`: the directories of the server that
    answers and of the one on its way. By these a restarted workspace finds every process again.
    """

    def __init__(self, store: Store, directory: Path) -> None:
        self._store = store
        self._directory = directory

    def get(self, name: str) -> DeploymentDocument:
        """The deployment's document; raises NotFound."""
        document = self.find(name)
        if document is None:
            raise NotFound(f"The deployment {name} does not exist.")
        return document

    def find(self, name: str) -> DeploymentDocument | None:
        """The deployment's document, None when there is no such deployment."""
        return self._store.get(DEPLOYMENTS, name)

    def settings(self, name: str) -> Deployment:
        """What the deployment asks for; raises NotFound."""
        return Deployment.of(name, self.get(name))

    def all(self, endpoint: str | None = None) -> Iterator[tuple[str, DeploymentDocument]]:
        """Every deployment, or those of one endpoint."""
        yield from self._store.list(DEPLOYMENTS, f"{endpoint}/" if endpoint else "")

    def forget(self, name: str) -> None:
        """Delete the document."""
        self._store.delete(DEPLOYMENTS, name)

    def note_starting(self, name: str, server: str | None) -> None:
        """Keep the directory of the server that is on its way."""
        self._store.update(DEPLOYMENTS, name, lambda document: {**document, "starting": server})

    def note_serving(self, name: str, server: str | None) -> None:
        """Keep the directory of the server that answers from now on; none is on its way."""
        self._store.update(
            DEPLOYMENTS, name, lambda document: {**document, "serving": server, "starting": None}
        )

    def home(self, name: str) -> Path:
        """Where the directories of the deployment's servers are."""
        return self._directory.joinpath(*name.lower().split("/"))

    def running(self, name: str) -> list[ModelServer]:
        """Every server of the deployment that still runs."""
        home = self.home(name)
        directories = sorted(home.iterdir()) if home.is_dir() else []
        found = (ModelServer.find(directory) for directory in directories)
        return [server for server in found if server is not None and server.exit_code() is None]
