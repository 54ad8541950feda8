"""A step's outputs: where they go, and the assets made of those that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.assets import kinds, versions
from azureml_local.assets.addresses import ASSET_URIS
from azureml_local.errors import Conflict
from azureml_local.execution.graph import Output
from azureml_local.settings import DEFAULT_DATASTORE
from azureml_local.state.workspace import WorkspaceState


def output_uri(job: str, name: str, output: Output) -> str:
    """Where that output of the job goes: where the user said, or below the default datastore."""
    if output.uri is None:
        end = "" if output.type == "uri_file" else "/"
        return f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{job}/{name}{end}"
    uri = output.uri
    for place, value in (("name", job), ("output_name", name), ("default_datastore", DEFAULT_DATASTORE)):
        uri = uri.replace("${{" + place + "}}", value)
    return uri


def register(state: WorkspaceState, job: str, outputs: Mapping[str, Output]) -> None:
    """Make assets of the job's outputs that were given a name.

    Raises BadRequest for a model that is none, Conflict for a version that is there already.
    """
    document = state.store.get("jobs", job) or {}
    for name, output in outputs.items():
        if output.asset is None:
            continue
        uri = document["properties"]["outputs"][name]["uri"]
        asset_name, version = output.asset
        if output.type.endswith("_model"):
            collection, check = "models", kinds.model
            properties: dict[str, Any] = {"modelUri": uri, "modelType": output.type, "jobName": job}
        else:
            collection, check = "data", kinds.data
            properties = {"dataUri": uri, "dataType": output.type}
        version = version or versions.following(state, collection, asset_name)
        checked = check(state, asset_name, version, properties)
        _check_free(state, collection, f"{asset_name}/{version}", checked)
        versions.put(state, collection, asset_name, version, checked)


def _check_free(state: WorkspaceState, collection: str, full: str, properties: Mapping[str, Any]) -> None:
    """Raise Conflict when there is such a version of other data; of the same it may be written again."""
    known = state.store.get(collection, full)
    which = ASSET_URIS[collection]
    if known is not None and known["properties"].get(which) != properties[which]:
        name, _, version = full.rpartition("/")
        raise Conflict(
            f"Version {version} of {name} exists already, with other data: leave the version of the output "
            "out, or take another.",
            code="UserError",
        )
