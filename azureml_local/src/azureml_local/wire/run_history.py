"""Run history: what jobs.stream, jobs.download, jobs.list(parent) and azureml-mlflow's artifacts ask for."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import ARTIFACT_DATASTORE, CONTAINERS
from azureml_local.state.blobs import Blob
from azureml_local.state.document import Json
from azureml_local.state.documents import (
    JobDocument,
    is_pipeline,
    outputs_of,
    status,
)
from azureml_local.wire.arm import WORKSPACE, body, route, workspace_of
from azureml_local.wire.fields import texts

_HISTORY = "/history/v1.0" + WORKSPACE
_ORIGIN = "ExperimentRun"
_CONTAINER = CONTAINERS[ARTIFACT_DATASTORE]
_LOG_FOLDERS = ("user_logs/", "logs/", "system_logs/")
# Models are shown as the folders that they are. For the service's names of their types azure-ai-ml 1.35.2
# builds another request (ModelDataplaneOperations), with a keyword that its class does not know: a TypeError.
_MODEL_TYPES = frozenset({"mlflow_model", "custom_model", "triton_model"})


def get_run(request: Request) -> Response:
    """One run."""
    return JSONResponse(_run(workspace_of(request), _document(request)))


def patch_run(request: Request) -> Response:
    """Change a run's name, description or archive flag; tags and properties are added to those it has."""
    workspace, document, given = workspace_of(request), _document(request), body(request)
    shown = document["properties"]
    change: Json = {key: given[key] for key in ("displayName", "description") if given.get(key) is not None}
    for key, kept in (("tags", shown["tags"]), ("properties", shown["properties"])):
        change[key] = {**kept, **texts(given, key)}
    hidden = given.get("hidden")
    archived = None if hidden is None else bool(hidden)
    document = workspace.jobs.records.show(document["name"], change, hidden=archived)
    return JSONResponse(_run(workspace, document))


def get_details(request: Request) -> Response:
    """The run with its log files, each a URL that can be read while the file grows."""
    workspace, document = workspace_of(request), _document(request)
    logs = {
        path: _url(workspace, document["name"], path)
        for path, _ in _artifacts(workspace, document["name"])
        if path.startswith(_LOG_FOLDERS)
    }
    run = _run(workspace, document)
    details = {**run, "createdTimeUtc": run["createdUtc"], "runDefinition": None, "logFiles": logs}
    return JSONResponse({**details, "warnings": [], "jobCost": None, "parameters": {}})


def list_children(request: Request) -> Response:
    """The runs of a pipeline's steps."""
    workspace = workspace_of(request)
    children = workspace.jobs.records.children(_document(request)["name"])
    return JSONResponse({"value": [_run(workspace, child) for child in children], "continuationToken": None})


def get_run_data(request: Request) -> Response:
    """The run as jobs.download asks for it."""
    workspace, run_id = workspace_of(request), body(request).get("runId")
    if not isinstance(run_id, str):
        raise BadRequest("The request needs a 'runId'.", target="runId")
    run = _run(workspace, workspace.jobs.records.get(run_id))
    return JSONResponse({"runMetadata": run, "runDefinition": None, "jobSpecification": None})


def get_services(request: Request) -> Response:
    """The services of a run's nodes: none."""
    _document(request)
    return JSONResponse({"instances": {}})


def resolve_data(request: Request) -> Response:
    """The addresses behind the ids of outputs."""
    workspace, ids = workspace_of(request), body(request).get("values")
    if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
        raise BadRequest("The request needs a list 'values' of ids.", target="values")
    return JSONResponse(
        {
            "values": {
                i: {"uri": addresses.locate(workspace, i).uri(workspace.settings), "type": None} for i in ids
            }
        }
    )


def list_artifacts(request: Request) -> Response:
    """The files of a run."""
    run_id = request.path_params["run"]
    return JSONResponse(
        {"value": [_artifact(run_id, path, blob) for path, blob in _artifacts(workspace_of(request), run_id)]}
    )


def get_artifact(request: Request) -> Response:
    """A URL from which one artifact can be read."""
    workspace, run_id, path = (
        workspace_of(request),
        request.path_params["run"],
        request.query_params.get("path", ""),
    )
    workspace.blobs.get(_CONTAINER, _name(run_id, path))
    return JSONResponse(_content(workspace, run_id, path))


def create_artifacts(request: Request) -> Response:
    """URLs to which artifacts can be written."""
    workspace, run_id, asked = workspace_of(request), request.path_params["run"], body(request).get("paths")
    if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
        raise BadRequest("The request needs a list 'paths' of objects with a 'path'.", target="paths")
    names = [str(item.get("path", "")) for item in asked]
    for name in names:
        workspace.blobs.path(_CONTAINER, _name(run_id, name))
    return JSONResponse(
        {
            "artifacts": {name: _artifact(run_id, name, None) for name in names},
            "artifactContentInformation": {name: _content(workspace, run_id, name) for name in names},
            "errors": {},
        }
    )


def _document(request: Request) -> JobDocument:
    return workspace_of(request).jobs.records.get(request.path_params["run"])


def _run(workspace: Workspace, document: JobDocument) -> Json:
    shown = document["properties"]
    started, ended = document["started"], document["ended"]
    user = {"userName": "local user", "userObjectId": "00000000-0000-0000-0000-00000000000b"}
    return {
        "runNumber": document["number"],
        "runId": document["name"],
        "rootRunId": document["root"],
        "parentRunId": document["parent"],
        "experimentId": shown["experimentName"],
        "dataContainerId": f"dcid.{document['name']}",
        "displayName": shown.get("displayName"),
        "name": shown.get("displayName"),
        "description": shown.get("description"),
        "status": status(document),
        "createdUtc": document["created"],
        "startTimeUtc": started,
        "endTimeUtc": ended,
        "duration": _duration(started, ended),
        "computeDuration": _duration(started, ended),
        "createdBy": user,
        "lastModifiedBy": user,
        "lastModifiedUtc": ended or started or document["created"],
        "error": _error(workspace, document),
        "warnings": None,
        "tags": shown.get("tags") or {},
        "properties": shown.get("properties") or {},
        "services": {},
        "hidden": document["hidden"],
        "runType": _run_type(document),
        "target": _target(shown.get("computeId")),
        "compute": {"target": _target(shown.get("computeId")), "targetType": "amlctrain"},
        "inputDatasets": [],
        "outputDatasets": [],
        "outputs": {
            name: {
                "assetId": f"azureml://jobs/{document['name']}/outputs/{name}",
                "type": "uri_folder" if output["jobOutputType"] in _MODEL_TYPES else output["jobOutputType"],
            }
            for name, output in outputs_of(document).items()
        },
    }


def _error(workspace: Workspace, document: JobDocument) -> Json | None:
    error = document["error"]
    if error is None:
        return None
    return {
        "error": {
            "code": error["code"],
            "message": error["message"],
            "messageParameters": {},
            "details": [{"code": d["code"], "message": d["message"]} for d in error.get("details", ()) if d],
        },
        "correlation": {"operation": document["root"], "request": document["name"]},
        "environment": workspace.settings.location,
        "location": workspace.settings.location,
        "time": document["ended"],
        "componentName": "RunHistory",
    }


def _run_type(document: JobDocument) -> str:
    if document["parent"]:
        return "azureml.StepRun"
    return "azureml.PipelineRun" if is_pipeline(document) else "azureml.scriptrun"


def _target(compute: object) -> str | None:
    return str(compute).rsplit("/", 1)[-1] if compute else None


def _duration(started: str | None, ended: str | None) -> str | None:
    """As .NET writes a time span: hours, minutes, seconds."""
    if started is None or ended is None:
        return None
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60):02}:{int(minutes % 60):02}:{rest:010.7f}"


def _artifacts(workspace: Workspace, run_id: str) -> list[tuple[str, Blob]]:
    """The run's files by their path within it."""
    prefix = f"{_ORIGIN}/dcid.{run_id}/"
    return [(blob.name.removeprefix(prefix), blob) for blob in workspace.blobs.list(_CONTAINER, prefix)]


def _name(run_id: str, path: str) -> str:
    if not path:
        raise NotFound("An artifact needs a path.", code="BlobNotFound")
    return f"{_ORIGIN}/dcid.{run_id}/{path}"


def _artifact(run_id: str, path: str, blob: Blob | None) -> Json:
    return {
        "artifactId": f"{_ORIGIN}/dcid.{run_id}/{path}",
        "origin": _ORIGIN,
        "container": f"dcid.{run_id}",
        "path": path,
        "etag": blob.etag if blob else None,
        "createdTime": blob.modified.isoformat() if blob else None,
        "dataPath": {"dataStoreName": ARTIFACT_DATASTORE, "relativePath": _name(run_id, path)},
        "tags": {},
    }


def _content(workspace: Workspace, run_id: str, path: str) -> Json:
    return {
        "contentUri": _url(workspace, run_id, path, permissions="rcw"),
        "origin": _ORIGIN,
        "container": f"dcid.{run_id}",
        "path": path,
        "tags": {},
    }


def _url(workspace: Workspace, run_id: str, path: str, permissions: str = "r") -> str:
    name = _name(run_id, path)
    signature = workspace.tokens.sas(_CONTAINER, name, permissions=permissions)
    return f"{workspace.settings.blob_url}/{_CONTAINER}/{quote(name)}?{signature}"


def _run_routes(prefix: str) -> list[Route]:
    return [
        route(prefix, GET=get_run, PATCH=patch_run),
        route(prefix + "/details", GET=get_details),
        route(prefix + "/children", GET=list_children),
        route(prefix + "/serviceinstances/{node}", GET=get_services),
        route(prefix + "/artifacts", GET=list_artifacts),
        route(prefix + "/artifacts/contentinfo", GET=get_artifact),
        route(prefix + "/artifacts/batch/metadata", POST=create_artifacts),
    ]


routes = [
    *_run_routes(_HISTORY + "/runs/{run}"),
    *_run_routes(_HISTORY + "/experiments/{experiment}/runs/{run}"),
    *_run_routes(_HISTORY + "/experimentids/{experiment}/runs/{run}"),
    route(_HISTORY + "/rundata", POST=get_run_data),
    route("/data/v1.0" + WORKSPACE + "/dataversion/batchGetResolvedUris", POST=resolve_data),
]
