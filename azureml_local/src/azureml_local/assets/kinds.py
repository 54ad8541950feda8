"""What the service makes of a new version of each kind of asset."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.state.documents import assets
from azureml_local.state.workspace import WorkspaceState

_ENVIRONMENT = re.compile(
    r".*/workspaces/[^/]+/environments/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)$",
    re.IGNORECASE,
)
_ENVIRONMENTS = assets("environments")
_CURATED = "azureml-"  # how the names begin of those that Azure puts into every workspace
DATA_TYPES = ("uri_file", "uri_folder", "mltable")


def model(state: WorkspaceState, given: Json) -> Json:
    """A model with its `modelUri` in the form that is kept, and an MLflow model's flavours.

    Raises BadRequest when there are no files, or when they are no MLflow model that it says it is.
    """
    uri = given["modelUri"]
    kept, folder = _located(state, uri)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        from_job = "/jobs/" in uri or uri.startswith("runs:")
        raise BadRequest(
            f"No artifacts were found at {uri}, so no model can be made of them.",
            code="NoMatchingArtifactsFoundFromJob" if from_job else "NoMatchingArtifactsFound",
            target="modelUri",
        )
    kind = given.get("modelType") or "custom_model"
    flavors = given.get("flavors") or {}
    if kind == "mlflow_model":
        description = folder / "MLmodel"
        if not description.is_file():
            raise BadRequest(
                f"A model of type mlflow_model needs a file MLmodel, and {uri} has none.", target="modelUri"
            )
        flavors = _flavors(description.read_text(errors="replace"))
    if (job := _job(uri)) is not None:
        given = given | {"jobName": given.get("jobName") or job}
    said = {key: value for key, value in given.items() if value is not None}
    found = {"modelUri": kept, "modelType": kind, "flavors": flavors}
    return {"jobName": None, "stage": "Development"} | said | found


def _located(state: WorkspaceState, uri: str) -> tuple[str, Path]:
    """Where a model's files lie, and the address to keep: one that outlives the job it was made of."""
    if uri.startswith("https://"):
        addresses.container(state, uri)  # a model is no data from elsewhere
        return uri, addresses.resolve(state, uri)
    place = addresses.locate(state, uri)
    return place.uri(state.settings), state.blobs.datastore_path(place.datastore, place.path)


def _flavors(text: str) -> Json:
    try:
        described = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadRequest(f"The model's file MLmodel is not valid YAML: {error}.") from error
    found = described.get("flavors") if isinstance(described, dict) else None
    return {
        str(name): {"data": {str(k): str(v) for k, v in (data or {}).items()}}
        for name, data in (found or {}).items()
    }


def _job(uri: str) -> str | None:
    match = re.search(r"(?:/jobs/|^runs:/)([^/]+)", uri)
    return match[1] if match else None


def data(state: WorkspaceState, given: Json) -> Json:
    """A data asset with its `dataUri` in the form that is kept; raises BadRequest."""
    uri = given["dataUri"]
    if given["dataType"] != "mltable":  # the one type that has them (OpenAPI)
        given = {name: value for name, value in given.items() if name != "referencedUris"}
    if uri.startswith("azureml:"):
        kept = addresses.locate(state, uri).uri(state.settings)
        # Of a folder the service ends it so, whatever was sent (azure-ai-ml's tests: test_create_uri_folder,
        # test_create_mltable).
        is_folder = given["dataType"] != "uri_file" or uri.endswith("/")
        return given | {"dataUri": kept.rstrip("/") + "/" if is_folder else kept}
    return given  # an address elsewhere is kept as it is


def is_curated(name: str) -> bool:
    """Whether an environment of that name is one that Azure puts into every workspace."""
    return name.casefold().startswith(_CURATED)


def curated(name: str, version: str) -> Json:
    """What such an environment says of itself; the image is never pulled."""
    image = f"mcr.microsoft.com/azureml/curated/{name.casefold().removeprefix(_CURATED)}:{version}"
    return {"environmentType": "Curated", "autoRebuild": "Disabled", "image": image, "osType": "Linux"}


def check_environment(state: WorkspaceState, reference: object) -> None:
    """Raise BadRequest for an environment of the workspace that is not there; a node looks at none."""
    match = _ENVIRONMENT.match(reference) if isinstance(reference, str) else None
    if match is None or is_curated(match["name"]):
        return
    name, version = match["name"], match["version"]
    if match["by"].lower() == "labels":
        known = bool(state.store.list(_ENVIRONMENTS, f"{name}/", limit=1))
    else:
        known = state.store.get(_ENVIRONMENTS, f"{name}/{version}") is not None
    if not known:
        raise BadRequest(
            f"No environment exists for name: {name}, version: {version}.",
            code="UserError",
            target="environmentId",
        )
