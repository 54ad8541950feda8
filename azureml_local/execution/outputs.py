"""A step's outputs: where they go, and the assets made of those that have a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.execution.graph import Output
from azureml_local.local import Local
from azureml_local.settings import DEFAULT_DATASTORE


def output_uri(job: str, name: str, output: Output) -> str:
    """Where that output of the job goes: where the user said, or below the default datastore."""
    if output.uri is None:
        end = "" if output.type == "uri_file" else "/"
        return f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{job}/{name}{end}"
    uri = output.uri
    for place, value in (("name", job), ("output_name", name), ("default_datastore", DEFAULT_DATASTORE)):
        uri = uri.replace("${{" + place + "}}", value)
    return uri


def register(local: Local, job: str, outputs: Mapping[str, Output]) -> None:
    """Make assets of the outputs that were given a name; raises BadRequest for a model that is none."""
    from azureml_local.wire import asset  # the wire knows the executions, not they it

    for name, output in outputs.items():
        if output.asset is None:
            continue
        uri = output_uri(job, name, output)
        asset_name, version = output.asset
        if output.type.endswith("_model"):
            assets = asset.MODELS
            properties: dict[str, Any] = {"modelUri": uri, "modelType": output.type, "jobName": job}
        else:
            assets = asset.DATA
            properties = {"dataUri": uri, "dataType": output.type}
        version = version or asset.next_version(local, assets.collection, asset_name)
        checked = assets.check(local, asset_name, version, properties)
        asset.put(local, assets.collection, asset_name, version, checked)
