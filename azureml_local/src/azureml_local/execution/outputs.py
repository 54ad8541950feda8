"""A step's outputs: where they go, and the assets made of those that have a name."""

from __future__ import annotations

from collections.abc import Mapping

from azureml_local.assets import kinds, versions
from azureml_local.assets.addresses import ASSET_URIS
from azureml_local.errors import Conflict
from azureml_local.execution.graph import Output
from azureml_local.execution.runtime import artifact_folder
from azureml_local.settings import ARTIFACT_DATASTORE, DEFAULT_DATASTORE
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import JOBS, AssetDocument, assets
from azureml_local.state.job_documents import outputs_of
from azureml_local.state.store import Store
from azureml_local.state.workspace import WorkspaceState

# Outputs that are the folder of a run's artifacts: of every run there is one under the first name (recorded),
# and Microsoft's example pipelines/hello-pipeline-default-artifacts binds to one under the second.
_ARTIFACTS = ("default", "artifacts")


def output_uri(job: str, name: str, output: Output) -> str:
    """Where that output of the job goes: where the user said, or below the default datastore."""
    if output.uri is None:
        if name in _ARTIFACTS:
            return f"azureml://datastores/{ARTIFACT_DATASTORE}/paths/{artifact_folder(job)}/"
        end = "" if output.is_file else "/"
        return f"azureml://datastores/{DEFAULT_DATASTORE}/paths/azureml/{job}/{name}{end}"
    uri = output.uri
    for place, value in (("name", job), ("output_name", name), ("default_datastore", DEFAULT_DATASTORE)):
        uri = uri.replace("${{" + place + "}}", value)
    return uri


def register(state: WorkspaceState, job: str, outputs: Mapping[str, Output]) -> None:
    """Make assets of the job's outputs that were given a name.

    Raises BadRequest for a model that is none, Conflict for a version that is there already.
    """
    document = state.store.get(JOBS, job)
    for name, output in outputs.items():
        if output.asset is None or document is None:
            continue
        uri = outputs_of(document)[name]["uri"]
        asset_name, version = output.asset
        if output.type.endswith("_model"):
            collection, check = "models", kinds.model
            properties: Json = {"modelUri": uri, "modelType": output.type, "jobName": job}
        else:
            collection, check = "data", kinds.data
            properties = {"dataUri": uri, "dataType": output.type}
        kind = assets(collection)
        version = version or versions.following(state.store, kind, asset_name)
        checked = check(state, properties)
        _check_free(state.store, kind, f"{asset_name}/{version}", checked)
        versions.put(state, kind, asset_name, version, checked)


def _check_free(store: Store, kind: Kind[AssetDocument], full: str, properties: Json) -> None:
    """Raise Conflict when there is such a version of other data; of the same it may be written again."""
    known = store.get(kind, full)
    which = ASSET_URIS[kind.name]
    if known is not None and known["properties"].get(which) != properties[which]:
        name, _, version = full.rpartition("/")
        raise Conflict(
            f"Version {version} of {name} exists already, with other data: leave the version of the output "
            "out, or take another.",
            code="UserError",
        )
