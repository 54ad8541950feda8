"""MLflow's model registry over the workspace's models: `mlflow.register_model`, `models:/NAME/1` and so on.

Documented: the calls are those of mlflow's REST store, which azureml-mlflow's registry store inherits; what
the service does not do is in learn.microsoft.com/azure/machine-learning/how-to-manage-models-mlflow (no
renaming, no deletion of a whole model, no search but by an equal name, MLflow models alone). Assumed: the
codes of its errors, the source in its answers, and that it keeps aliases.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import kinds, versions
from azureml_local.errors import BadRequest, Conflict, NotFound, ServiceError
from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.documents import MLFLOW_MODELS, AssetDocument, assets, shared_by_versions
from azureml_local.wire import registered_model as shown
from azureml_local.wire.arm import WORKSPACE, body, route, workspace_of
from azureml_local.wire.asset_collection import NAME, check_label
from azureml_local.wire.mlflow_request import clauses_of, page_of, stage_of, tags_of, text_of

_MODELS = assets("models")
_NAMES = shared_by_versions(_MODELS)
_CODES = {404: "RESOURCE_DOES_NOT_EXIST", 409: "RESOURCE_ALREADY_EXISTS", 413: "BAD_REQUEST"}

Answer = Callable[[Workspace, Json], Json]


def create_model(workspace: Workspace, given: Json) -> Json:
    """A name without versions; mlflow goes on where it is there already."""
    name = text_of(given, "name")
    check_label("name", name, NAME)
    if _versions(workspace, name) or workspace.store.get(_NAMES, name) is not None:
        raise Conflict(f"Registered Model (name={name}) already exists.")
    kept = {"description": given.get("description"), "tags": tags_of(given)}
    workspace.store.create(_NAMES, name, {key: value for key, value in kept.items() if value})
    return {"registered_model": _model(workspace, name)}


def get_model(workspace: Workspace, given: Json) -> Json:
    """A name with its latest version of each stage."""
    return {"registered_model": _model(workspace, text_of(given, "name"))}


def update_model(workspace: Workspace, given: Json) -> Json:
    """Describe a name."""
    return _changed_model(workspace, given, lambda kept: kept | {"description": given.get("description")})


def tag_model(workspace: Workspace, given: Json) -> Json:
    """Set a tag of a name."""
    tag = {text_of(given, "key"): str(given.get("value", ""))}
    _changed_model(workspace, given, lambda kept: kept | {"tags": {**(kept.get("tags") or {}), **tag}})
    return {}


def untag_model(workspace: Workspace, given: Json) -> Json:
    """Take a tag from a name."""
    key = text_of(given, "key")
    _changed_model(workspace, given, lambda kept: kept | {"tags": _without(kept.get("tags") or {}, key)})
    return {}


def refuse(workspace: Workspace, given: Json) -> Json:
    """What registered models do not allow, as they are immutable."""
    raise BadRequest(
        "Registered models cannot be renamed or deleted as a whole; delete their versions one by one."
    )


def search_models(workspace: Workspace, given: Json) -> Json:
    """Names, all of them or one."""
    names = {full.rsplit("/", 1)[0] for full, _ in workspace.store.list(_MODELS)}
    names |= {name for name, _ in workspace.store.list(_NAMES)}
    wanted = clauses_of(given, "name").get("name")
    found = sorted(name for name in names if wanted in (None, name))
    page, token = page_of(given, found)
    return {"registered_models": [_model(workspace, name) for name in page], "next_page_token": token}


def latest_versions(workspace: Workspace, given: Json) -> Json:
    """The latest version of each stage, or of those asked for."""
    asked = given.get("stages") or []
    stages = [stage_of(stage) for stage in ([asked] if isinstance(asked, str) else asked)]
    model = _model(workspace, text_of(given, "name"))
    found = [one for one in model["latest_versions"] if not stages or one["current_stage"] in stages]
    return {"model_versions": found}


def create_version(workspace: Workspace, given: Json) -> Json:
    """A new version of what lies at the source, which must be an MLflow model."""
    name = text_of(given, "name")
    if workspace.store.get(_NAMES, name) is None and not _versions(workspace, name):
        raise NotFound(f"Registered Model with name={name} not found.")
    asked = {
        "modelUri": text_of(given, "source"),
        "modelType": "mlflow_model",
        "description": given.get("description"),
        "tags": tags_of(given),
    }
    kept = kinds.model(workspace, asked | ({"jobName": given["run_id"]} if given.get("run_id") else {}))
    version = versions.following(workspace.store, _MODELS, name)
    document = versions.document(workspace.clock, name, version, kept)
    workspace.store.create(_MODELS, f"{name}/{version}", document)
    return {"model_version": _version(workspace, document)}


def get_version(workspace: Workspace, given: Json) -> Json:
    """One version."""
    return {"model_version": _version(workspace, _document(workspace, given))}


def download_uri(workspace: Workspace, given: Json) -> Json:
    """Where a version's files are, in the form in which azureml-mlflow's artifact store reads them."""
    return {"artifact_uri": shown.source(workspace, _document(workspace, given))}


def search_versions(workspace: Workspace, given: Json) -> Json:
    """Versions of a name or a run, the newest first."""
    wanted = clauses_of(given, "name", "run_id")
    found = [
        document
        for _, document in workspace.store.list(_MODELS)
        if wanted.get("name") in (None, document["name"])
        and wanted.get("run_id") in (None, document["properties"].get("jobName"))
    ]
    found.sort(key=lambda document: (document["name"], -shown.number(document)))
    page, token = page_of(given, found)
    return {"model_versions": [_version(workspace, one) for one in page], "next_page_token": token}


def update_version(workspace: Workspace, given: Json) -> Json:
    """Describe a version."""
    changed = _changed(workspace, given, lambda kept: kept | {"description": given.get("description")})
    return {"model_version": changed}


def tag_version(workspace: Workspace, given: Json) -> Json:
    """Set a tag of a version."""
    tag = {text_of(given, "key"): str(given.get("value", ""))}
    _changed(workspace, given, lambda kept: kept | {"tags": {**kept["tags"], **tag}})
    return {}


def untag_version(workspace: Workspace, given: Json) -> Json:
    """Take a tag from a version."""
    key = text_of(given, "key")
    _changed(workspace, given, lambda kept: kept | {"tags": _without(kept["tags"], key)})
    return {}


def delete_version(workspace: Workspace, given: Json) -> Json:
    """Delete a version with its stage and its aliases; the name stays."""
    document = _document(workspace, given)
    name, version = document["name"], document["version"]
    if workspace.store.get(_NAMES, name) is None:
        workspace.store.put(_NAMES, name, {})
    workspace.store.delete(_MODELS, f"{name}/{version}")
    aliases = {alias: to for alias, to in _of_mlflow(workspace, name)["aliases"].items() if to != version}
    stages = _without(_of_mlflow(workspace, name)["stages"], version)
    workspace.store.put(MLFLOW_MODELS, name, {"aliases": aliases, "stages": stages})
    return {}


def set_stage(workspace: Workspace, given: Json) -> Json:
    """Put a version into a stage, and others out of it into the archive where that is asked for."""
    document, stage = _document(workspace, given), stage_of(given.get("stage"))
    name, kept = document["name"], _of_mlflow(workspace, document["name"])
    stages = kept["stages"]
    if given.get("archive_existing_versions") in (True, "true"):
        stages = {version: "Archived" if held == stage else held for version, held in stages.items()}
    workspace.store.put(MLFLOW_MODELS, name, kept | {"stages": {**stages, document["version"]: stage}})
    return {"model_version": _version(workspace, document)}


def set_alias(workspace: Workspace, given: Json) -> Json:
    """Let an alias mean a version."""
    document, alias = _document(workspace, given), text_of(given, "alias")
    kept = _of_mlflow(workspace, document["name"])
    aliases = {**kept["aliases"], alias: document["version"]}
    workspace.store.put(MLFLOW_MODELS, document["name"], kept | {"aliases": aliases})
    return {}


def delete_alias(workspace: Workspace, given: Json) -> Json:
    """Let an alias mean nothing."""
    name, alias = text_of(given, "name"), text_of(given, "alias")
    _model(workspace, name)
    kept = _of_mlflow(workspace, name)
    workspace.store.put(MLFLOW_MODELS, name, kept | {"aliases": _without(kept["aliases"], alias)})
    return {}


def by_alias(workspace: Workspace, given: Json) -> Json:
    """The version that an alias means."""
    name, alias = text_of(given, "name"), text_of(given, "alias")
    version = _of_mlflow(workspace, name)["aliases"].get(alias)
    if version is None:
        raise NotFound(f"Registered model alias {alias} not found.")
    return {"model_version": _version(workspace, _document(workspace, {"name": name, "version": version}))}


def _model(workspace: Workspace, name: str) -> Json:
    documents, kept = _versions(workspace, name), workspace.store.get(_NAMES, name)
    if not documents and kept is None:
        raise NotFound(f"Registered Model with name={name} not found.")
    return shown.model(workspace, name, kept or {}, documents, _of_mlflow(workspace, name))


def _version(workspace: Workspace, document: AssetDocument) -> Json:
    return shown.version(workspace, document, _of_mlflow(workspace, document["name"]))


def _versions(workspace: Workspace, name: str) -> list[AssetDocument]:
    return [document for _, document in workspace.store.list(_MODELS, f"{name}/")]


def _of_mlflow(workspace: Workspace, name: str) -> Json:
    return workspace.store.get(MLFLOW_MODELS, name) or {"aliases": {}, "stages": {}}


def _document(workspace: Workspace, given: Json) -> AssetDocument:
    name, version = text_of(given, "name"), text_of(given, "version")
    document = workspace.store.get(_MODELS, f"{name}/{version}")
    if document is None:
        raise NotFound(f"Model Version (name={name}, version={version}) not found.")
    return document


def _changed(workspace: Workspace, given: Json, change: Callable[[Json], Json]) -> Json:
    old = _document(workspace, given)
    full = f"{old['name']}/{old['version']}"
    document = workspace.store.update(
        _MODELS, full, lambda kept: {**kept, "properties": change(kept["properties"])}
    )
    return _version(workspace, document)


def _changed_model(workspace: Workspace, given: Json, change: Callable[[Json], Json]) -> Json:
    name = text_of(given, "name")
    _model(workspace, name)
    workspace.store.put(_NAMES, name, change(workspace.store.get(_NAMES, name) or {}))
    return {"registered_model": _model(workspace, name)}


def _without(values: Json, key: str) -> Json:
    return {name: value for name, value in values.items() if name != key}


def _handler(answer: Answer) -> Callable[[Request], Response]:
    """Answers with JSON; errors in MLflow's shape."""

    def handle(request: Request) -> Response:
        query = request.query_params
        asked: Json = {key: query.getlist(key) if key == "stages" else query[key] for key in query}
        try:
            given = asked if request.method == "GET" else body(request)
            workspace = workspace_of(request)
            if request.method == "GET":
                return JSONResponse(answer(workspace, given))
            with workspace.store.transaction():  # what is read and what is written belong together
                return JSONResponse(answer(workspace, given))
        except ServiceError as error:
            code = _CODES.get(error.status, "INVALID_PARAMETER_VALUE")
            return JSONResponse({"error_code": code, "message": error.message}, error.status)

    return handle


_MODEL: dict[str, dict[str, Answer]] = {
    "create": {"POST": create_model},
    "rename": {"POST": refuse},
    "update": {"PATCH": update_model},
    "delete": {"DELETE": refuse},
    "get": {"GET": get_model},
    "search": {"GET": search_models},
    "get-latest-versions": {"POST": latest_versions, "GET": latest_versions},
    "set-tag": {"POST": tag_model},
    "delete-tag": {"DELETE": untag_model},
    "alias": {"POST": set_alias, "DELETE": delete_alias, "GET": by_alias},
}
_VERSION: dict[str, dict[str, Answer]] = {
    "create": {"POST": create_version},
    "update": {"PATCH": update_version},
    "transition-stage": {"POST": set_stage},
    "delete": {"DELETE": delete_version},
    "get": {"GET": get_version},
    "search": {"GET": search_versions},
    "get-download-uri": {"GET": download_uri},
    "set-tag": {"POST": tag_version},
    "delete-tag": {"DELETE": untag_version},
}
_API = "/mlflow/{version}" + WORKSPACE + "/api/2.0/mlflow/"
routes = [
    route(f"{_API}{collection}/{call}", **{method: _handler(answer) for method, answer in answers.items()})
    for collection, calls in (("registered-models", _MODEL), ("model-versions", _VERSION))
    for call, answers in calls.items()
]
