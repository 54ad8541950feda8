"""The body of a request to submit a job, checked."""

from __future__ import annotations

import re

from azureml_local.errors import BadRequest
from azureml_local.execution import jobs, sweep_job
from azureml_local.execution.jobs import JobRequest
from azureml_local.state.document import Json
from azureml_local.wire.fields import text, texts

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")
_EXPERIMENT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,255}")


def check_name(name: str) -> None:
    """Raise BadRequest unless it can be a job's name."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"The job name {name[:80]!r} is not valid: up to 255 letters, digits, '-', '_' and '.', "
            "the first a letter or digit.",
            target="name",
        )


def read(name: str, properties: Json) -> JobRequest:
    """The job that the body's properties ask for; raises BadRequest."""
    if properties.get("jobType") == "Sweep":
        properties = sweep_job.normalised(properties)
    return JobRequest(
        given=properties,
        definition=jobs.read(properties),
        experiment=check_experiment(text(properties, "experimentName") or "Default"),
        display_name=str(properties.get("displayName") or name),
        tags=texts(properties, "tags"),
        properties=texts(properties, "properties"),
    )


def check_experiment(name: str) -> str:
    """The experiment's name; raises BadRequest in the service's words (modelbuilder #1773)."""
    if not _EXPERIMENT.fullmatch(name):
        raise BadRequest(
            "Experiment name must be 1-256 characters, start with a letter or a number, and can only contain "
            "letters, numbers, underscores, and dashes.",
            code="UserError",
            target="experimentName",
        )
    return name
