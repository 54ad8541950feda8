"""Jobs over the wire: submit, look at, change, cancel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import kinds
from azureml_local.errors import BadRequest, Conflict
from azureml_local.execution import sweep_job
from azureml_local.execution.runtime import artifact_folder
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import ARTIFACT_DATASTORE
from azureml_local.state.document import Json
from azureml_local.state.job_documents import (
    JobDocument,
    has_ended,
    is_pipeline,
    job_type,
    outputs_of,
    run_properties,
    status,
)
from azureml_local.state.job_states import JobState
from azureml_local.state.order import Position
from azureml_local.wire import first_look, job_request
from azureml_local.wire.arm import WORKSPACE, created, pages, properties, resource, route, workspace_of
from azureml_local.wire.fields import texts

# All that may change once a job exists.
_MUTABLE = frozenset({"description", "displayName", "tags", "properties", "isArchived"})
# What the service says of a pipeline that is no copy of another (documented: OpenAPI 2024-04-01; recorded).
_PIPELINE: Mapping[str, Any] = {"sourceJobId": None}
# What it says of a command job that asks for nothing particular.
_COMMAND: Mapping[str, Any] = {
    "codeId": None,
    "resources": {
        "instanceCount": 1,
        "instanceType": None,
        "properties": None,
        "shmSize": "2g",
        "dockerArgs": None,
    },
    "distribution": None,
    "limits": {"jobLimitsType": "Command", "timeout": None},
    "environmentVariables": None,
    "parameters": {},
    "queueSettings": {"jobTier": "Null"},
}
# What the service fills in where a request does not say how data is reached, as seen.
_PORT: Mapping[str, Any] = {"description": None, "uri": None}
_INPUT: Mapping[str, Any] = {**_PORT, "mode": "ReadOnlyMount"}
_OUTPUT: Mapping[str, Any] = {**_PORT, "mode": "ReadWriteMount"}
# Of a sweep, and of its trial, as recorded; a Tracking service it has none.
_SWEEP: Mapping[str, Any] = {"earlyTermination": None, "queueSettings": None}
_TRIAL: Mapping[str, Any] = {"codeId": None, "distribution": None, "environmentVariables": None}
_DEFAULTS = {"Pipeline": _PIPELINE, "Command": _COMMAND, "Sweep": _SWEEP}
# What a client sends back when it has read a job, and the service says itself.
_SAID_BY_SERVICE = frozenset({"status", "services", "notificationSetting"})


def put(request: Request) -> Response:
    """Submit a job, or change what may change of one that exists."""
    workspace, name, given = workspace_of(request), request.path_params["name"], properties(request)
    job_request.check_name(name)
    document = workspace.jobs.records.find(name)
    if document is not None:
        return JSONResponse(resource_of(workspace, _changed(workspace, document, given)))
    trial = given.get("trial")
    asking = trial if given.get("jobType") == "Sweep" and isinstance(trial, dict) else given
    kinds.check_environment(workspace, asking.get("environmentId"))
    submitted = workspace.jobs.submit(name, job_request.read(name, given))
    return created(request, resource_of(workspace, submitted))


def get(request: Request) -> Response:
    """One job."""
    workspace = workspace_of(request)
    return JSONResponse(resource_of(workspace, workspace.jobs.records.get(request.path_params["name"])))


def list_all(request: Request) -> Response:
    """Submitted jobs, the newest first; children are run history's to show."""
    workspace, query = workspace_of(request), request.query_params
    view, kind = query.get("listViewType", "ActiveOnly"), query.get("jobType", "")

    def wanted(document: JobDocument) -> bool:
        return (
            (view == "All" or document["hidden"] == (view == "ArchivedOnly"))
            and _is_of_schedule(document, query)
            and kind.casefold() in ("", job_type(document).casefold())
            and _has_tag(document, query.get("tag", ""))
        )

    def found(after: Position | None) -> Iterator[tuple[Position, JobDocument]]:
        return ((place, d) for place, d in workspace.jobs.records.roots(after) if wanted(d))

    return pages(request, found, show=lambda document: resource_of(workspace, document))


def cancel(request: Request) -> Response:
    """Ask the job to end. As the service: an empty 200, also for a job that has ended."""
    workspace_of(request).jobs.cancel(request.path_params["name"])
    return Response(status_code=200)


def delete(request: Request) -> Response:
    """Forget a job that has ended, with its children; what it wrote stays."""
    workspace, name = workspace_of(request), request.path_params["name"]
    document = workspace.jobs.records.find(name)
    if document is None:
        return Response(status_code=204)
    if not has_ended(document):
        raise Conflict(f"The job {name} is {status(document)}; cancel it before deleting it.")
    workspace.jobs.records.forget(document)
    return Response(status_code=200)


def resource_of(workspace: Workspace, document: JobDocument) -> Json:
    """The job as the service shows it; of a pipeline's step it shows here nothing but that it exists."""
    path = f"{workspace.settings.workspace_arm_id}/jobs/{document['name']}"
    system = {"createdAt": document["created"], "createdBy": "local user", "createdByType": "User"}
    answer = resource(path, "workspaces/jobs", {}, systemData=system)
    if document["parent"]:
        del answer["properties"]  # as seen; the SDK tells a step's job by it
        return answer
    return {**answer, "properties": _properties(workspace, document)}


def _properties(workspace: Workspace, document: JobDocument) -> Json:
    shown = document["properties"]
    times = {
        label: moment[:19].replace("T", " ")
        for label, moment in (("StartTimeUtc", document["started"]), ("EndTimeUtc", document["ended"]))
        if moment
    }
    studio = (
        f"{workspace.settings.base_url}/jobs/{document['name']}?wsid={workspace.settings.workspace_arm_id}"
    )
    services = {"Studio": _service("Studio", studio)}
    if shown["jobType"] != "Sweep":
        services["Tracking"] = _service("Tracking", workspace.settings.tracking_uri + "?")
    outputs: Json = {
        name: {**_OUTPUT, **output, "uri": output["uri"] if has_ended(document) else None}
        for name, output in outputs_of(document).items()
    }
    if has_ended(document) and not first_look.has_ended_unseen(workspace, document):
        # Only then: while a job runs, the SDK would read its log through the storage account's key, which
        # nobody has here, instead of through run history.
        outputs["default"] = {
            "description": None,
            "uri": f"azureml://datastores/{ARTIFACT_DATASTORE}/{artifact_folder(document['name'])}",
            "mode": "ReadWriteMount",
            "jobOutputType": "uri_folder",
        }
    return {
        "description": None,
        "computeId": None,
        "componentId": None,
        "identity": None,
        "notificationSetting": None,
        "inputs": {},
        **_DEFAULTS.get(shown["jobType"], {}),
        **_filled(_said(shown)),
        "isArchived": document["hidden"],
        "properties": {**shown["properties"], **times, **_stages(document)},
        "services": services,
        "outputs": outputs,
    }


def _stages(document: JobDocument) -> dict[str, str]:
    """What a completed pipeline says of itself besides, as seen."""
    if not is_pipeline(document) or status(document) is not JobState.COMPLETED:
        return {}
    span = {"StartTime": document["started"], "EndTime": document["ended"], "Status": "Finished"}
    return {"stages": json.dumps({"Initialization": None, "Execution": span})}


def _service(kind: str, endpoint: str) -> Json:
    return {
        "jobServiceType": kind,
        "port": None,
        "endpoint": endpoint,
        "status": None,
        "errorMessage": None,
        "properties": None,
        "nodes": None,
    }


def _changed(workspace: Workspace, document: JobDocument, given: Mapping[str, Any]) -> JobDocument:
    """The job with what the request changes of it; raises BadRequest when it would change the work itself."""
    usual = _COMMAND if job_type(document) == "Command" else {}
    if job_type(document) == "Sweep":
        given = sweep_job.normalised(given)
    asked, wanted = ({**usual, **_filled(_said(each))} for each in (document["request"], given))
    wrong = [
        key
        for key in sorted(asked.keys() | wanted.keys())
        if key not in _MUTABLE | _SAID_BY_SERVICE
        and _comparable(key, asked.get(key)) != _comparable(key, wanted.get(key))
    ]
    if wrong:
        # As users printed it (azure-docs #122250; the code within: azure-sdk-for-python #47389).
        raise BadRequest(
            "A job with this name already exists. If you are trying to create a new job, use a different "
            "name. If you are trying to update an existing job, the existing job's "
            f"{',  '.join(_as_named(key) for key in wrong)} cannot be changed. Only description, tags, "
            "displayName, properties, and isArchived can be updated.",
            code="UserError",
            inner=("BadArgument", "ArgumentInvalid", "JobPropertyImmutable"),
        )
    change = {key: given[key] for key in ("description", "displayName") if isinstance(given.get(key), str)}
    if given.get("tags") is not None:
        change["tags"] = texts(given, "tags")
    if given.get("properties") is not None:  # beside those that the service has written
        change["properties"] = {**document["properties"]["properties"], **texts(given, "properties")}
    hidden = bool(given.get("isArchived", document["hidden"]))
    return workspace.jobs.records.show(document["name"], change, hidden=hidden)


def _as_named(key: str) -> str:
    """A property as the service names it in an error."""
    return key[:1].upper() + key[1:]


def _filled(properties: Json) -> Json:
    """The properties with what the service says of every input that is data."""
    if isinstance(trial := properties.get("trial"), Mapping):
        properties = {**properties, "trial": _filled_trial(trial)}
    inputs = properties.get("inputs")
    if not isinstance(inputs, Mapping):
        return properties
    return {**properties, "inputs": {name: _input(value) for name, value in inputs.items()}}


def _input(value: Any) -> Any:
    is_data = isinstance(value, Mapping) and str(value.get("jobInputType")).casefold() != "literal"
    return {**_INPUT, **_said(value)} if is_data else value


def _filled_trial(trial: Mapping[str, Any]) -> Json:
    resources = {**_COMMAND["resources"], **_said(trial.get("resources") or {})}
    return {**_TRIAL, **trial, "resources": resources}


def _said(properties: Mapping[str, Any]) -> Json:
    return {key: value for key, value in properties.items() if value is not None}


def _comparable(key: str, value: Any) -> Any:
    """A property without what is only noise: nulls, empty values, and outputs as the service adds them."""
    if isinstance(value, Mapping):
        dropped = {"default"} if key == "outputs" else set()
        kept = {k: _comparable(k, v) for k, v in value.items() if k not in dropped}
        return {k: v for k, v in kept.items() if v not in (None, {}, [])} or None
    return value if value not in ({}, []) else None


def _is_of_schedule(document: JobDocument, query: QueryParams) -> bool:
    """Whether the job comes from a schedule, and from which, as the query has it."""
    schedule = run_properties(document).get("azureml.scheduleid")
    asked = query.get("scheduleId")
    if asked is not None and asked.casefold() != (schedule or "").casefold():
        return False
    scheduled = query.get("scheduled")
    return scheduled is None or (scheduled.casefold() == "true") == (schedule is not None)


def _has_tag(document: JobDocument, wanted: str) -> bool:
    key, _, value = wanted.partition("=")
    tags = document["properties"].get("tags") or {}
    return not key or (key in tags and value in ("", tags[key]))


routes = [
    route(WORKSPACE + "/jobs", GET=list_all),
    route(WORKSPACE + "/jobs/{name}", at_once=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/jobs/{name}/cancel", POST=cancel),
]
