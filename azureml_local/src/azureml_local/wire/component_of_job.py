"""Pipeline components that are made of a job: its nodes, with its inputs and outputs as their own.

The SDK sends such a specification for a batch deployment's `job_definition`, with the job's id alone. Of the
answer nothing is known: assumed are that the job is looked at then, and that its values become defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.state.documents import JOBS
from azureml_local.state.workspace import WorkspaceState
from azureml_local.wire.fields import text

_SOURCE = "sourceJobId"


def filled(state: WorkspaceState, spec: Json) -> Json:
    """The specification with what is the job's; one that names no job as it is. Raises BadRequest."""
    source = text(spec, _SOURCE)
    if not source:
        return spec
    name = source.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
    document = state.store.get(JOBS, name)
    if document is None:
        raise BadRequest(f"The job {name} was not found.", target=_SOURCE)
    job = document["request"]
    if not job.get("jobs"):
        why = f"The job {name} has no nodes of its own, of which a component could be made."
        raise BadRequest(why, target=_SOURCE)
    given, made = job.get("inputs") or {}, job.get("outputs") or {}
    return {
        **spec,
        "jobs": job["jobs"],
        "inputs": {port: _input(value) for port, value in given.items()},
        "outputs": {port: {"type": _type(output, "jobOutputType")} for port, output in made.items()},
    }


def _input(given: Mapping[str, Any]) -> Json:
    kind = _type(given, "jobInputType")
    if kind == "literal":
        return {"type": "string", "default": given.get("value")}
    return {"type": kind}


def _type(given: Mapping[str, Any], name: str) -> str:
    return str(given.get(name) or "uri_folder")
