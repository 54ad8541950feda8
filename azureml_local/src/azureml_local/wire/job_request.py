"""The body of a request to submit a job, checked."""

from __future__ import annotations

import re

from azureml_local.errors import BadRequest
from azureml_local.execution import nodes
from azureml_local.execution.jobs import JobRequest
from azureml_local.state.document import Json
from azureml_local.wire.fields import texts

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}")


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
    return JobRequest(
        given=properties,
        definition=nodes.read(properties),
        experiment=str(properties.get("experimentName") or "Default"),
        display_name=str(properties.get("displayName") or name),
        tags=texts(properties, "tags"),
        properties=texts(properties, "properties"),
    )
