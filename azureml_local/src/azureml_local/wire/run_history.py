"""Run history: what jobs.stream, jobs.download, jobs.list(parent) and azureml-mlflow's artifacts ask for."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.job_states import JobState
from azureml_local.wire import first_look
from azureml_local.wire.arm import WORKSPACE, body, route, workspace_of
from azureml_local.wire.artifact import Folder
from azureml_local.wire.fields import texts
from azureml_local.wire.run_document import earlier_run, run_document

_HISTORY = "/history/v1.0" + WORKSPACE
_LOG_FOLDERS = ("user_logs/", "logs/", "system_logs/", "azureml-logs/")


def get_run(request: Request) -> Response:
    """One run."""
    return JSONResponse(run_document(workspace_of(request), _document(request)))


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
    return JSONResponse(run_document(workspace, document))


def get_details(request: Request) -> Response:
    """The run with its log files, each a URL that can be read while the file grows."""
    workspace, document = workspace_of(request), _document(request)
    folder = _folder(earlier_run(document) or document["name"])
    logs = {
        path: folder.url(workspace, path)
        for path, _ in folder.files(workspace)
        if path.startswith(_LOG_FOLDERS)
    }
    run = run_document(workspace, document)
    if first_look.look(workspace, document):
        run |= {"status": JobState.FINALIZING, "endTimeUtc": None}
    details = {**run, "createdTimeUtc": run["createdUtc"], "runDefinition": None, "logFiles": logs}
    return JSONResponse({**details, "warnings": [], "jobCost": None, "parameters": {}})


def list_children(request: Request) -> Response:
    """The runs right below a run; as seen, without a continuation token where there is no further page."""
    workspace = workspace_of(request)
    children = workspace.jobs.records.children(_document(request)["name"])
    return JSONResponse({"value": [run_document(workspace, child) for child in children]})


def get_run_data(request: Request) -> Response:
    """The run as jobs.download asks for it."""
    workspace, run_id = workspace_of(request), body(request).get("runId")
    if not isinstance(run_id, str):
        raise BadRequest("The request needs a 'runId'.", target="runId")
    run = run_document(workspace, workspace.jobs.records.get(run_id))
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
    return _folder(_container(request)).listed(workspace_of(request))


def get_artifact(request: Request) -> Response:
    """A URL from which one artifact can be read."""
    return _folder(_container(request)).looked_up(request)


def create_artifacts(request: Request) -> Response:
    """URLs to which artifacts can be written."""
    return _folder(request.path_params["run"]).created(request)


def _document(request: Request) -> JobDocument:
    return workspace_of(request).jobs.records.get(request.path_params["run"])


def _container(request: Request) -> str:
    """The run whose files a run shows: an earlier one's where it was reused. MLflow has runs without jobs."""
    run: str = request.path_params["run"]
    document = workspace_of(request).jobs.records.find(run)
    return (earlier_run(document) if document else None) or run


def _folder(run_id: str) -> Folder:
    return Folder("ExperimentRun", f"dcid.{run_id}")


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
