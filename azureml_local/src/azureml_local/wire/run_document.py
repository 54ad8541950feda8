"""A run as run history shows it.

The fields are those of recorded traffic: of a pipeline's command step that ran, and of one that was reused.
A submitted pipeline, a single command, and the runs that stand for a pipeline component were in no recording
of these routes: they are assumed to have the same fields, with what they do not have left null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.job_documents import (
    JobDocument,
    experiment,
    holds_others,
    nodes_of,
    outputs_of,
    run_properties,
    status,
)

_USER: Mapping[str, Any] = {
    "userObjectId": "00000000-0000-0000-0000-00000000000b",
    "userPuId": None,
    "userIdp": None,
    "userAltSecId": None,
    "userIss": None,
    "userTenantId": None,
    "userName": "local user",
    "upn": None,
}
_STEP_TRAITS = (
    "azureml.StepRun",
    "scriptRun",
    "remote",
    "AlmostCommonRuntime",
    "OsType:Linux",
    "CommonRuntime",
)
_DATA = {"uri_file": "UriFile", "mltable": "MLTable"}


def run_document(workspace: Workspace, document: JobDocument) -> Json:
    """One run, as each of run history's routes shows it."""
    shown = document["properties"]
    started, ended = document["started"], document["ended"]
    reused = earlier_run(document)
    lasted = _duration(started or (ended if reused else None), ended)
    compute = str(shown.get("computeId") or "").rsplit("/", 1)[-1] or None
    computes = compute is not None and started is not None and reused is None
    return {
        "runNumber": document["number"],
        "rootRunId": document["root"],
        "createdUtc": document["created"],
        "createdBy": _USER,
        "userId": _USER["userObjectId"],
        "token": None,
        "tokenExpiryTimeUtc": None,
        "error": _error(workspace, document),
        "warnings": None,
        "revision": 2 if reused else document["number"],
        "statusRevision": 0 if reused else 1,
        "runUuid": _guid("run", document["name"]),
        "parentRunUuid": _guid("run", document["parent"]) if document["parent"] else None,
        "rootRunUuid": _guid("run", document["root"]),
        "lastStartTimeUtc": None,
        "currentComputeTime": None,
        "computeDuration": lasted,
        "effectiveStartTimeUtc": None,
        "lastModifiedBy": _USER,
        "lastModifiedUtc": ended or started or document["created"],
        "duration": lasted,
        "cancelationReason": None,
        "currentAttemptId": None,
        "runId": document["name"],
        "parentRunId": document["parent"],
        "experimentId": _guid("experiment", experiment(document)),
        "status": status(document),
        "startTimeUtc": started or (ended if reused else None),
        "endTimeUtc": ended,
        "scheduleId": None,
        "displayName": shown.get("displayName"),
        "name": run_properties(document).get("azureml.moduleName") or shown.get("displayName"),
        "dataContainerId": f"dcid.{reused or document['name']}",
        "description": shown.get("description"),
        "hidden": document["hidden"],
        "runType": _run_type(document),
        "runTypeV2": _run_type_v2(document, computes=computes),
        "properties": run_properties(document),
        "parameters": {},
        "actionUris": {},
        "scriptName": None,
        "target": compute,
        "uniqueChildRunComputeTargets": [],
        "tags": shown.get("tags") or {},
        "settings": {},
        "services": {},
        "inputDatasets": [],
        "outputDatasets": [],
        "runDefinition": None,
        "jobSpecification": None,
        "primaryMetricName": None,
        "createdFrom": None,
        "cancelUri": None,
        "completeUri": None,
        "diagnosticsUri": None,
        "computeRequest": _compute_request(document) if computes else None,
        "compute": _compute(document, compute) if computes else None,
        "retainForLifetimeOfWorkspace": None,
        "queueingInfo": None,
        "inputs": None,
        "outputs": None if reused else _outputs(workspace, document),
    }


def earlier_run(document: JobDocument) -> str | None:
    """The run whose outputs this one has taken over, None when it did its work itself."""
    return run_properties(document).get("azureml.reusedrunid")


def _outputs(workspace: Workspace, document: JobDocument) -> Json:
    """Every output as a data asset of the run's; models are shown as the folders that they are.

    A step's are of type UriFolder, as seen; azure-ai-ml 1.35.2 compares the type with uri_folder, and finds
    the files by its own search below azureml/<run>/<output>. Of a submitted job, all of whose outputs the SDK
    documents to download, the types are assumed to be those that it knows. For the service's names of types
    of models it builds a request (ModelDataplaneOperations) with a keyword that its class does not know.
    """
    place = f"azureml://locations/{workspace.settings.location}/workspaces/{workspace.settings.guid}/data"
    is_step = document["parent"] is not None
    return {
        name: {
            "assetId": f"{place}/azureml_{document['name']}_output_data_{name}/versions/1",
            "type": _output_type(output["jobOutputType"], is_step=is_step),
        }
        for name, output in outputs_of(document).items()
    }


def _output_type(kind: str, *, is_step: bool) -> str:
    if is_step:
        return _DATA.get(kind, "UriFolder")
    return kind if kind in _DATA else "uri_folder"


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
    properties = run_properties(document)
    if document["parent"] and properties.get("azureml.runsource") == "azureml.StepRun":
        return "azureml.StepRun"
    if properties.get("azureml.runsource") == "hyperdrive":
        return "hyperdrive"  # as recorded of the service that runs sweeps
    return "azureml.PipelineRun" if holds_others(document) else "azureml.scriptrun"


def _run_type_v2(document: JobDocument, *, computes: bool) -> Json:
    """As seen of steps: those that were executed have more traits than those that were reused."""
    kind = _run_type(document)
    executed = computes and kind == "azureml.StepRun"
    return {
        "orchestrator": "Execution" if executed else None,
        "traits": list(_STEP_TRAITS) if executed else [kind],
        "attribution": "Aether" if executed else None,
        "computeType": "AmlcTrain" if executed else None,
    }


def _compute(document: JobDocument, name: str | None) -> Json:
    return {
        "target": name,
        "targetType": "amlcompute",
        "vmSize": None,
        "instanceType": None,
        "instanceCount": nodes_of(document),
        "gpuCount": 0,
        "priority": None,
        "region": None,
    }


def _compute_request(document: JobDocument) -> Json:
    return {"nodeCount": nodes_of(document), "gpuCount": 0}


def _duration(started: str | None, ended: str | None) -> str | None:
    """As .NET writes a time span: hours, minutes, seconds."""
    if started is None or ended is None:
        return None
    seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes // 60):02}:{int(minutes % 60):02}:{rest:010.7f}"


def _guid(kind: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{kind}:{name}"))
