"""How MLflow shows models of the workspace and their versions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from azureml_local.assets import addresses
from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.documents import JOBS, AssetDocument

_RUN = re.compile(r"ExperimentRun/dcid\.(?P<run>[^/]+)/(?P<path>.*)")


def model(
    workspace: Workspace, name: str, kept: Json, documents: Sequence[AssetDocument], of_mlflow: Json
) -> Json:
    """A registered model with the latest version of each stage."""
    latest: dict[str, Json] = {}
    for document in sorted(documents, key=number):
        found = version(workspace, document, of_mlflow)
        latest[found["current_stage"]] = found
    return {
        "name": name,
        "creation_timestamp": min((_moment(one, "createdAt") for one in documents), default=0),
        "last_updated_timestamp": max((_moment(one, "lastModifiedAt") for one in documents), default=0),
        "description": kept.get("description") or "",
        "latest_versions": list(latest.values()),
        "tags": _pairs(kept.get("tags") or {}),
        "aliases": [{"alias": alias, "version": to} for alias, to in sorted(of_mlflow["aliases"].items())],
    }


def version(workspace: Workspace, document: AssetDocument, of_mlflow: Json) -> Json:
    """A model version."""
    properties = document["properties"]
    return {
        "name": document["name"],
        "version": document["version"],
        "creation_timestamp": _moment(document, "createdAt"),
        "last_updated_timestamp": _moment(document, "lastModifiedAt"),
        "user_id": document["systemData"]["createdBy"],
        "current_stage": of_mlflow["stages"].get(document["version"], "None"),
        "description": properties.get("description") or "",
        "source": source(workspace, document),
        "run_id": properties.get("jobName") or "",
        "status": "READY",
        "tags": _pairs(properties.get("tags") or {}),
        "aliases": [alias for alias, to in sorted(of_mlflow["aliases"].items()) if to == document["version"]],
    }


def source(workspace: Workspace, document: AssetDocument) -> str:
    """The address of a version's files: of a run's artifacts, or of an artifact container's."""
    uri = str(document["properties"]["modelUri"])
    if uri.startswith("https://"):
        return uri
    place = addresses.locate(workspace, uri)
    if match := _RUN.fullmatch(place.path):
        settings, job = workspace.settings, workspace.store.get(JOBS, match["run"])
        experiment = job["properties"]["experimentName"] if job else "Default"
        run = f"{settings.workspace_arm_id}/experiments/{experiment}/runs/{match['run']}"
        return f"azureml://localhost:{settings.port}/mlflow/v2.0{run}/artifacts/{match['path']}"
    return f"azureml://artifacts/{place.path}"


def number(document: AssetDocument) -> int:
    """A version as a number; those that are none come first."""
    return int(document["version"]) if document["version"].isdecimal() else 0


def _moment(document: AssetDocument, which: str) -> int:
    text = str(document["systemData"][which])  # type: ignore[literal-required]
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _pairs(tags: Json) -> list[Json]:
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]
