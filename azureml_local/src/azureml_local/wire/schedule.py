"""Schedules over the wire.

Recorded: the answer to PUT is bare, properties without provisioningState and nothing beside them; rows have
name, properties and systemData; a job's definition comes back like a job that is yet to begin. That a name
which is not there can be deleted is assumed, as of endpoints.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import kinds
from azureml_local.errors import BadRequest
from azureml_local.execution import trigger
from azureml_local.execution.workspace import Workspace
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import SCHEDULES
from azureml_local.state.job_documents import ScheduleDocument, ScheduleProperties
from azureml_local.state.transitions import CREATE_SCHEDULE, DELETE_SCHEDULE, UPDATE_SCHEDULE
from azureml_local.wire import fields, job_request, operation
from azureml_local.wire.arm import WORKSPACE, body, page, properties, route, workspace_of

_VIEWS = {"EnabledOnly": (True,), "DisabledOnly": (False,), "All": (True, False)}


def put(request: Request) -> Response:
    """Make a schedule, or replace one; `isEnabled` false ends its triggers until it is true again."""
    workspace, name = workspace_of(request), request.path_params["name"]
    job_request.check_name(name)
    given = properties(request)
    known = workspace.store.get(SCHEDULES, name)
    now = iso(workspace.clock.now())
    kept = _properties(workspace, given)
    goes_on = (
        known is not None
        and known["properties"]["isEnabled"]
        and known["properties"]["trigger"] == kept["trigger"]
    )
    document: ScheduleDocument = {
        "name": name,
        "properties": kept,
        "enabled": known["enabled"] if known and goes_on else now,
        "systemData": {
            "createdAt": known["systemData"]["createdAt"] if known else now,
            "createdBy": "local user",
            "createdByType": "User",
            "lastModifiedAt": now,
        },
    }
    workspace.store.put(SCHEDULES, name, document)
    transition = UPDATE_SCHEDULE if known else CREATE_SCHEDULE
    begun = workspace.operations.begin(SCHEDULES, name, transition)
    workspace.schedules.resume()
    bare = {key: value for key, value in _shown(document).items() if key != "provisioningState"}
    return operation.accepted(request, begun, {"properties": bare})


def get(request: Request) -> Response:
    """One schedule."""
    return JSONResponse(_row(workspace_of(request).schedules.get(request.path_params["name"])))


def list_all(request: Request) -> Response:
    """The enabled schedules, unless the query asks for others."""
    view = _VIEWS.get(request.query_params.get("listViewType", "EnabledOnly"))
    if view is None:
        raise BadRequest(f"listViewType must be one of {', '.join(_VIEWS)}.", target="listViewType")
    found = [document for _, document in workspace_of(request).store.list(SCHEDULES)]
    return page(request, [_row(each) for each in found if each["properties"]["isEnabled"] in view])


def delete(request: Request) -> Response:
    """End the schedule; the jobs that it has submitted stay.

    An enabled one is refused (azure-ai-ml's tests: test_schedule_lifetime has the words; code and status are
    assumed).
    """
    workspace, name = workspace_of(request), request.path_params["name"]
    found = workspace.store.get(SCHEDULES, name)
    if found is None:
        return Response(status_code=204)
    if found["properties"]["isEnabled"]:
        raise BadRequest(f"Cannot delete an active trigger: disable {found['name']} first.", code="UserError")
    return operation.accepted(
        request, workspace.operations.begin(SCHEDULES, name, DELETE_SCHEDULE), None, status=202
    )


def trigger_once(request: Request) -> Response:
    """Submit the schedule's job now, once (the SDK reads jobName; the rest of the answer is assumed)."""
    workspace, name = workspace_of(request), request.path_params["name"]
    asked = fields.text(body(request), "scheduleTime")
    try:
        moment = datetime.fromisoformat(asked) if asked else workspace.clock.now()
    except ValueError:
        raise fields.refused("scheduleTime", "it must be a time in ISO 8601") from None
    job = workspace.schedules.trigger(name, moment.astimezone())
    return JSONResponse({"submissionId": job, "jobName": job, "scheduleActionType": "CreateJob"})


def _properties(workspace: Workspace, given: Json) -> ScheduleProperties:
    """The properties to be kept; raises BadRequest."""
    action = fields.record(given, "action") or {}
    if action.get("actionType") != "CreateJob":
        raise BadRequest(
            f"Schedules of the action {action.get('actionType')} are not done here: CreateJob is.",
            target="action",
        )
    definition = _definition(workspace, fields.record(action, "jobDefinition") or {})
    kinds.check_environment(workspace, definition.get("environmentId"))
    job_request.read("scheduled", definition)
    trigger.read(given.get("trigger"), workspace.clock.now())
    enabled = given.get("isEnabled")
    kept = {
        "description": fields.text(given, "description"),
        "displayName": fields.text(given, "displayName"),
        "tags": fields.texts(given, "tags"),
        "properties": fields.texts(given, "properties"),
        "isEnabled": True if enabled is None else bool(enabled),
        "trigger": _trigger(given["trigger"]),
        "action": {"actionType": "CreateJob", "jobDefinition": definition},
        "provisioningState": "Creating",
    }
    return cast(ScheduleProperties, kept)


def _trigger(given: Json) -> Json:
    """The trigger with what the service fills in, its words in the document's case, as of a sweep's goal."""
    filled: Json = {"timeZone": "UTC", **given}
    if given["triggerType"] == "Recurrence":
        filled["frequency"] = given["frequency"].capitalize()
        if pattern := given.get("schedule"):
            days = pattern.get("weekDays")
            filled["schedule"] = {**pattern, "weekDays": days and [day.capitalize() for day in days]}
    return filled


def _definition(workspace: Workspace, given: Json) -> Json:
    """The job to be submitted; one that only names another is that one, with what is said besides.

    The SDK sends such a reference for `create_job="azureml:NAME"`; that it is followed at once is assumed.
    """
    source = fields.text(given, "sourceJobId")
    if source is None or given.get("jobs") or given.get("componentId"):
        return given
    original = workspace.jobs.records.get(source.rsplit("/", 1)[-1].rsplit(":", 1)[-1])
    said = {key: value for key, value in given.items() if value not in (None, {}, [])}
    return {**original["request"], **said}


def _shown(document: ScheduleDocument) -> Json:
    kept: Json = dict(document["properties"])
    definition: Json = {
        "experimentName": "Default",
        **kept["action"]["jobDefinition"],
        "status": "NotStarted",
        "services": None,
    }
    return {**kept, "action": {"actionType": "CreateJob", "jobDefinition": definition}}


def _row(document: ScheduleDocument) -> Json:
    beside: dict[str, Any] = {"name": document["name"], "systemData": document["systemData"]}
    return {**beside, "properties": _shown(document)}


routes = [
    route(WORKSPACE + "/schedules", GET=list_all),
    route(WORKSPACE + "/schedules/{name}", GET=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/schedules/{name}/trigger", POST=trigger_once),
]
