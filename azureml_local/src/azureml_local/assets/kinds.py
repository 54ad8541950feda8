"""What a new version of each kind of asset must say, and what the service makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest
from azureml_local.state.workspace import WorkspaceState

_SYSTEMS = ("Linux", "Windows")
_ENVIRONMENT = re.compile(
    r".*/workspaces/[^/]+/environments/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)$",
    re.IGNORECASE,
)
_CURATED = "azureml-"  # how the names begin of those that Azure puts into every workspace
DATA_TYPES = ("uri_file", "uri_folder", "mltable")


def model(state: WorkspaceState, name: str, version: str, given: dict[str, Any]) -> dict[str, Any]:
    uri = _text(given, "modelUri")
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
        return uri, addresses.resolve(state, uri)
    place = addresses.locate(state, uri)
    return place.uri(state), state.blobs.datastore_path(place.datastore, place.path)


def _flavors(text: str) -> dict[str, Any]:
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


def data(state: WorkspaceState, name: str, version: str, given: dict[str, Any]) -> dict[str, Any]:
    uri = _text(given, "dataUri")
    if given.get("dataType") not in DATA_TYPES:
        raise BadRequest(f"dataType must be one of {', '.join(DATA_TYPES)}.", target="dataType")
    if uri.startswith("azureml:"):
        return given | {"dataUri": addresses.locate(state, uri).uri(state)}
    return given  # an address elsewhere is kept as it is


def code(state: WorkspaceState, name: str, version: str, given: dict[str, Any]) -> dict[str, Any]:
    _text(given, "codeUri")
    return given


def environment(state: WorkspaceState, name: str, version: str, given: dict[str, Any]) -> dict[str, Any]:
    if not (given.get("image") or given.get("build") or given.get("condaFile")):
        raise BadRequest("An environment needs an image, a build context or a conda file.", target="image")
    system = given.get("osType") or "Linux"
    if system not in _SYSTEMS:
        raise BadRequest(f"osType must be one of {', '.join(_SYSTEMS)}.", target="osType")
    for name, route in (given.get("inferenceConfig") or {}).items():
        if not isinstance(route, dict) or not {"path", "port"} <= route.keys():
            raise BadRequest(f"inferenceConfig.{name} needs a path and a port.", target="inferenceConfig")
    return {"environmentType": "UserCreated", "autoRebuild": "Disabled"} | given | {"osType": system}


def is_curated(name: str) -> bool:
    """Whether an environment of that name is one that Azure puts into every workspace."""
    return name.casefold().startswith(_CURATED)


def curated(name: str, version: str) -> dict[str, Any]:
    """What such an environment says of itself; the image is never pulled."""
    image = f"mcr.microsoft.com/azureml/curated/{name.casefold().removeprefix(_CURATED)}:{version}"
    return {"environmentType": "Curated", "autoRebuild": "Disabled", "image": image, "osType": "Linux"}


def component(state: WorkspaceState, name: str, version: str, given: dict[str, Any]) -> dict[str, Any]:
    spec = given.get("componentSpec")
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise BadRequest("A component needs an object 'componentSpec' with a 'type'.", target="componentSpec")
    check_environment(state, spec.get("environment"))
    return given | {"componentSpec": spec | {"name": name, "version": version}}


def check_environment(state: WorkspaceState, reference: object) -> None:
    """Raise BadRequest for an environment of the workspace that is not there; a node looks at none."""
    match = _ENVIRONMENT.match(reference) if isinstance(reference, str) else None
    if match is None or is_curated(match["name"]):
        return
    name, version = match["name"], match["version"]
    if match["by"].lower() == "labels":
        known = bool(state.store.list("environments", f"{name}/", limit=1))
    else:
        known = state.store.get("environments", f"{name}/{version}") is not None
    if not known:
        raise BadRequest(
            f"No environment exists for name: {name}, version: {version}.",
            code="UserError",
            target="environmentId",
        )


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"The property {name} is missing.", target=name)
    return value
