"""Artifacts: files by their origin, the container there and a path, as the artifact service names them.

The container of a run is `ExperimentRun/dcid.RUN`, that of a model which was uploaded from a client's disk
`LocalUpload/MOMENT-ID`. Documented: azureml-mlflow's own clients ask so.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import ARTIFACT_DATASTORE, CONTAINERS, DEFAULT_DATASTORE
from azureml_local.state.blob import Blob
from azureml_local.state.document import Json
from azureml_local.wire.arm import WORKSPACE, body, route, workspace_of


@dataclass(frozen=True)
class Folder:
    """An artifact container: a folder of a datastore."""

    origin: str
    container: str
    datastore: str = ARTIFACT_DATASTORE

    @property
    def prefix(self) -> str:
        """How the names of its blobs begin."""
        return f"{self.origin}/{self.container}/"

    def files(self, workspace: Workspace) -> list[tuple[str, Blob]]:
        """Its files by their path within it."""
        found = workspace.blobs.list(CONTAINERS[self.datastore], self.prefix)
        return [(blob.name.removeprefix(self.prefix), blob) for blob in found]

    def url(self, workspace: Workspace, path: str, permissions: str = "r") -> str:
        """An address with a signature, from which the file can be read or to which it can be written."""
        name, container = self._name(path), CONTAINERS[self.datastore]
        signature = workspace.tokens.sas(container, name, permissions=permissions)
        return f"{workspace.settings.blob_url}/{container}/{quote(name)}?{signature}"

    def content(self, workspace: Workspace, path: str) -> Json:
        """The answer that says where a file's content is."""
        url = self.url(workspace, path, permissions="rcw")
        return {
            "contentUri": url,
            "origin": self.origin,
            "container": self.container,
            "path": path,
            "tags": {},
        }

    def artifact(self, path: str, blob: Blob | None) -> Json:
        """The answer that describes a file."""
        return {
            "artifactId": f"{self.prefix}{path}",
            "origin": self.origin,
            "container": self.container,
            "path": path,
            "etag": blob.etag if blob else None,
            "createdTime": blob.modified.isoformat() if blob else None,
            "dataPath": {"dataStoreName": self.datastore, "relativePath": self._name(path)},
            "tags": {},
        }

    def listed(self, workspace: Workspace) -> Response:
        """The files, as a list of answers."""
        return JSONResponse({"value": [self.artifact(path, blob) for path, blob in self.files(workspace)]})

    def looked_up(self, request: Request) -> Response:
        """Where the file's content is that the query names; raises NotFound."""
        workspace, path = workspace_of(request), request.query_params.get("path", "")
        workspace.blobs.get(CONTAINERS[self.datastore], self._name(path))
        return JSONResponse(self.content(workspace, path))

    def created(self, request: Request) -> Response:
        """Where the files can be written that the body names."""
        workspace, asked = workspace_of(request), body(request).get("paths")
        if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
            raise BadRequest("The request needs a list 'paths' of objects with a 'path'.", target="paths")
        names = [str(item.get("path", "")) for item in asked]
        for name in names:
            workspace.blobs.path(CONTAINERS[self.datastore], self._name(name))
        return JSONResponse(
            {
                "artifacts": {name: self.artifact(name, None) for name in names},
                "artifactContentInformation": {name: self.content(workspace, name) for name in names},
                "errors": {},
            }
        )

    def _name(self, path: str) -> str:
        if not path:
            raise NotFound("An artifact needs a path.", code="BlobNotFound")
        return self.prefix + path


def list_all(request: Request) -> Response:
    """The files of a container."""
    return _found(request).listed(workspace_of(request))


def get(request: Request) -> Response:
    """A URL from which one artifact can be read."""
    return _found(request).looked_up(request)


def create(request: Request) -> Response:
    """URLs to which artifacts can be written."""
    return Folder(request.path_params["origin"], request.path_params["container"]).created(request)


def _found(request: Request) -> Folder:
    """The container, wherever it has files: a model's may lie in the default datastore (assumed)."""
    parts = request.path_params["origin"], request.path_params["container"]
    stored = Folder(*parts, DEFAULT_DATASTORE)
    return stored if stored.files(workspace_of(request)) else Folder(*parts)


_CONTAINER = "/artifact/v2.0" + WORKSPACE + "/artifacts/{origin}/{container}"
routes = [
    route(_CONTAINER, GET=list_all),
    route(_CONTAINER + "/contentinfo", GET=get),
    route(_CONTAINER + "/batch/metadata", POST=create),
]
