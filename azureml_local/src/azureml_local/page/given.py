"""What a job was given: parameters, and where its inputs lie."""

from __future__ import annotations

from typing import Any, cast

from azureml_local.state.job_documents import JobDocument

Values = dict[str, Any]


def inputs(document: JobDocument) -> dict[str, Values]:
    """What the job was given, and what a pipeline's nodes were, by their names where there are several."""
    found = dict(cast("dict[str, Values]", document["properties"].get("inputs") or {}))
    nodes = cast("dict[str, Values]", document["properties"].get("jobs") or {})
    for node, job in nodes.items():
        for name, value in (job.get("inputs") or {}).items():
            found[name if len(nodes) == 1 else f"{node}.{name}"] = value
    return found


def is_literal(value: Values) -> bool:
    """Whether it is a parameter. The SDK spells the type's name in one way for jobs, in another for nodes."""
    return (value.get("jobInputType") or value.get("job_input_type")) == "literal"


def place(value: Values) -> str:
    """Where an input or an output lies."""
    return str(value.get("uri") or value.get("value") or "")
