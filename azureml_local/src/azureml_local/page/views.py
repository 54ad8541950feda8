"""What each part of the page shows, taken from the workspace: plain values for the templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlencode

from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution import pipeline, step_directory
from azureml_local.execution.runtime import artifact_folder
from azureml_local.execution.workspace import Workspace
from azureml_local.page import comparison, curve, given, log_view, measured, times
from azureml_local.page import graph as drawings
from azureml_local.settings import ARTIFACT_DATASTORE, INFERENCE
from azureml_local.state.document import Kind
from azureml_local.state.documents import (
    CLUSTERS,
    DEPLOYMENTS,
    ENDPOINTS,
    AssetDocument,
    assets,
    instance_type,
    instances,
    provisioning_state,
)
from azureml_local.state.endpoint_documents import EndpointDocument
from azureml_local.state.job_documents import (
    JobDocument,
    has_ended,
    holds_others,
    is_pipeline,
    run_properties,
    status,
)
from azureml_local.state.job_states import JobState

Values = dict[str, Any]

_MOST_FILES = 200
_COLLECTIONS = (("Data", "data"), ("Components", "components"), ("Environments", "environments"))
# The states in which a step has a log, the most interesting first.
_LOG_STARTED = (
    JobState.RUNNING,
    JobState.FINALIZING,
    JobState.FAILED,
    JobState.COMPLETED,
    JobState.CANCELED,
)


def job_list(workspace: Workspace, most: int) -> Values:
    """The newest of the submitted jobs, and whether there are more of them than `most`."""
    found = [document for _, document in islice(workspace.jobs.records.roots(), most + 1)]
    return {
        "jobs": [
            {**_job(workspace, document), "steps": _steps_done(workspace, document)}
            for document in found[:most]
        ],
        "most": most,
        "are_more": len(found) > most,
    }


def progress(workspace: Workspace, name: str, chosen: str | None) -> Values:
    """A job's state, and its steps as a drawing in which the one is marked whose log is shown."""
    document = workspace.jobs.records.get(name)
    children = {run["step"]: run for run in workspace.jobs.records.steps(name)}
    steps = workspace.jobs.steps(document)
    drawing = drawings.draw(steps) if steps else None
    shown = _shown(document, children, chosen)
    return {
        "job": _job(workspace, document),
        "final": has_ended(document),
        "drawing": drawing,
        "nodes": [
            (node, _node(name, node.path, children.get(node.path), node.path == shown["step"]))
            for node in (drawing.nodes if drawing else ())
        ],
        "width": drawings.NODE_WIDTH,
        "height": drawings.NODE_HEIGHT,
        "runs": _runs(workspace, document, 0),
    }


def log(workspace: Workspace, name: str, chosen: str | None, wanted: str = "") -> Values:
    """The end of a log, or its lines with the text that is `wanted`.

    It is that of the `chosen` step, else of the one to look at, else of the job itself.
    """
    document = workspace.jobs.records.get(name)
    children = {run["step"]: run for run in workspace.jobs.records.steps(name)}
    shown = _shown(document, children, chosen)
    named = shown["step"] if shown is not document else ""
    file = _log(workspace, shown)
    return {
        "step": chosen or "",
        "log_of": named,
        "find": wanted,
        "found": log_view.search(file, wanted) if wanted else [],
        "most": log_view.MOST_LINES,
        "log": "" if wanted else log_view.tail(file),
        "final": has_ended(document),
    }


def compared(workspace: Workspace, names: Sequence[str]) -> Values:
    """Two jobs side by side: what they are, were given and have measured; raises NotFound, BadRequest."""
    if len(names) != 2:
        raise BadRequest("Two jobs can be compared: mark two of the list.")
    documents = [workspace.jobs.records.get(name) for name in names]
    problem, last = "", [dict[str, str](), dict[str, str]()]
    try:
        last = [_last_values(workspace, document) for document in documents]
    except ServiceError as error:
        problem = error.message
    sections = {
        "Job": [_facts(workspace, document) for document in documents],
        "Parameters and inputs": [_given(document) for document in documents],
        "Metrics": last,
    }
    return {
        "compared": [_job(workspace, document) for document in documents],
        "sections": [(title, comparison.rows(*both)) for title, both in sections.items()],
        "problem": problem,
    }


def metrics(workspace: Workspace, name: str) -> Values:
    """The loss by training step of the job and its steps, and every metric's last value."""
    document = workspace.jobs.records.get(name)
    names = [_ran_as(child) for child in workspace.jobs.records.below(name)] + [name]
    values: Values = {"c": curve, "curve": None, "metrics": [], "problem": None, "final": has_ended(document)}
    try:
        last, series = measured.measured(workspace, names)
    except ServiceError as error:
        return {**values, "problem": error.message}
    return {**values, "curve": curve.draw(series), "metrics": sorted(last.items())}


def details(workspace: Workspace, name: str) -> Values:
    """What a job was given and what it made: parameters, inputs, outputs, and the files of its runs."""
    document = workspace.jobs.records.get(name)
    inputs = given.inputs(document)
    outputs = cast("dict[str, Values]", document["properties"].get("outputs") or {})
    literal = {name for name, value in inputs.items() if given.is_literal(value)}
    return {
        "parameters": sorted((key, str(inputs[key].get("value", ""))) for key in literal),
        "inputs": sorted((key, given.place(inputs[key])) for key in inputs.keys() - literal),
        "outputs": sorted((key, given.place(value)) for key, value in outputs.items()),
        "artifacts": _artifacts(workspace, document),
        "final": has_ended(document),
    }


def asset_list(workspace: Workspace) -> Values:
    """What jobs use: data, components and environments by version, and the clusters."""

    def shown(collection: str) -> list[Values]:
        return [
            {"name": full.rpartition("/")[0], "version": full.rpartition("/")[2], **_asset(document)}
            for full, document in workspace.store.list(assets(collection))
        ]

    clusters = [
        {"name": name, "size": document["properties"]["properties"]["vmSize"]}
        for name, document in workspace.store.list(CLUSTERS)
    ]
    groups = [(title, shown(collection)) for title, collection in _COLLECTIONS]
    return {"groups": groups, "clusters": clusters}


def models(workspace: Workspace) -> Values:
    """Every version of a model, of the workspace and of the registry."""

    def shown(kind: Kind[AssetDocument]) -> list[Values]:
        return [_model(full, document) for full, document in workspace.store.list(kind)]

    return {
        "groups": [
            ("In the workspace", shown(assets("models"))),
            ("In the registry", shown(assets("models", registry=True))),
        ]
    }


def endpoint_list(workspace: Workspace) -> Values:
    """Every endpoint with its deployments."""
    return {"endpoints": [_endpoint(workspace, document) for _, document in workspace.store.list(ENDPOINTS)]}


def ledger_rows(workspace: Workspace) -> Values:
    """What ran, for how long, at what price."""
    return {"report": workspace.ledger.report()}


def _job(workspace: Workspace, document: JobDocument) -> Values:
    properties, error = document["properties"], document["error"]
    compute = properties.get("computeId") or (properties.get("settings") or {}).get("default_compute")
    return {
        "name": document["name"],
        "root": document["root"],
        "title": properties.get("displayName") or document["name"],
        "experiment": properties["experimentName"],
        "status": status(document),
        "compute": str(compute or "").rsplit("/", 1)[-1],
        "created": times.moment(document["created"]),
        "duration": _duration(workspace, document),
        "error": f"{error['code']}: {error['message']}" if error else "",
    }


def _steps_done(workspace: Workspace, document: JobDocument) -> str:
    if not is_pipeline(document):
        return ""
    children = workspace.jobs.records.steps(document["name"])
    done = sum(status(child) is JobState.COMPLETED for child in children)
    return f"{done} of {len(workspace.jobs.steps(document)) or len(children)}"


def _node(root: str, path: str, child: JobDocument | None, selected: bool) -> Values:
    shown: Values = {
        "href": f"/jobs/{quote(root, safe='')}?{urlencode({'step': path})}",
        "title": path.rsplit("/", 1)[-1],
        "status": JobState.NOT_STARTED,
        "reused": False,
        "duration": "",
        "selected": selected,
    }
    if child is None:
        return shown
    return {
        **shown,
        "status": status(child),
        "reused": run_properties(child).get("azureml.isreused") == "true",
        "duration": times.span(child["started"], child["ended"]) if child["ended"] else "",
    }


def _runs(workspace: Workspace, document: JobDocument, depth: int) -> list[Values]:
    """The runs below one that stand for others or are steps, each with how deep it lies."""
    found: list[Values] = []
    for run in workspace.jobs.records.children(document["name"]):
        kind = "pipeline" if holds_others(run) else "step"
        found.append({**_job(workspace, run), "depth": depth, "kind": kind})
        found += _runs(workspace, run, depth + 1)
    return found


def _shown(document: JobDocument, children: Mapping[str, JobDocument], chosen: str | None) -> JobDocument:
    return children.get(chosen or "") or _worth_a_look(children) or document


def _worth_a_look(children: Mapping[str, JobDocument]) -> JobDocument | None:
    """The step whose log says most of where the job is: one that runs, one that failed, the last to end."""
    begun = [c for c in children.values() if status(c) in _LOG_STARTED]
    return min(reversed(begun), key=lambda child: _LOG_STARTED.index(status(child)), default=None)


def _log(workspace: Workspace, document: JobDocument) -> Path:
    file = pipeline.LOG if is_pipeline(document) else step_directory.LOG
    return workspace.blobs.datastore_path(ARTIFACT_DATASTORE, f"{artifact_folder(_ran_as(document))}/{file}")


def _ran_as(document: JobDocument) -> str:
    """The job that did the work: an earlier one where its outputs were reused."""
    return run_properties(document).get("azureml.reusedrunid") or document["name"]


def _facts(workspace: Workspace, document: JobDocument) -> dict[str, str]:
    shown = _job(workspace, document)
    return {key: str(shown[key]) for key in ("status", "experiment", "compute", "duration", "error")}


def _given(document: JobDocument) -> dict[str, str]:
    return {name: given.place(value) for name, value in given.inputs(document).items()}


def _last_values(workspace: Workspace, document: JobDocument) -> dict[str, str]:
    below = [_ran_as(child) for child in workspace.jobs.records.below(document["name"])]
    last, _ = measured.measured(workspace, [*below, document["name"]])
    return {name: f"{value:.6g}" for name, value in last.items()}


def _model(full: str, document: AssetDocument) -> Values:
    name, _, version = full.rpartition("/")
    properties = document["properties"]
    return {
        "name": name,
        "version": version,
        "type": properties.get("modelType") or "",
        "created": times.moment(document["systemData"]["createdAt"]),
        "job": properties.get("jobName"),
        "tags": sorted((str(k), str(v)) for k, v in (properties.get("tags") or {}).items()),
    }


def _endpoint(workspace: Workspace, document: EndpointDocument) -> Values:
    properties, name = document["properties"], document["name"]
    return {
        "name": name,
        "state": provisioning_state(document),
        "address": f"{workspace.settings.base_url}{INFERENCE}/{name}/score",
        "authentication": properties["authMode"],
        "deployments": [
            {
                "name": deployment["name"],
                "state": provisioning_state(deployment),
                "model": deployment["properties"].get("model") or "",
                "size": instance_type(deployment),
                "instances": instances(deployment),
                "traffic": properties["traffic"].get(deployment["name"], 0),
                "mirrored": properties["mirrorTraffic"].get(deployment["name"], 0),
            }
            for _, deployment in workspace.store.list(DEPLOYMENTS, f"{name}/")
        ],
    }


def _asset(document: AssetDocument) -> Values:
    return {
        "created": times.moment(document["systemData"]["createdAt"]),
        "description": document["properties"].get("description") or "",
    }


def _artifacts(workspace: Workspace, document: JobDocument) -> list[tuple[str, int]]:
    """The files that the job and its runs have logged, with their sizes in bytes."""
    found: list[tuple[str, int]] = []
    for run in (document, *workspace.jobs.records.below(document["name"])):
        folder = workspace.blobs.datastore_path(ARTIFACT_DATASTORE, artifact_folder(_ran_as(run)))
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        title = run["step"] or run["name"]
        found += [(f"{title}/{file.relative_to(folder)}", file.stat().st_size) for file in files]
    return found[:_MOST_FILES]


def _duration(workspace: Workspace, document: JobDocument) -> str:
    if document["started"] is None:
        return ""
    return times.span(document["started"], document["ended"] or workspace.clock.now().isoformat())
