"""What makes two runs of a step the same: its component, its values, its data, and so on upstream."""

from __future__ import annotations

import hashlib
import json

from azureml_local.execution.graph import Asset, Graph, Literal, Step, Value


def fingerprints(graph: Graph) -> dict[str, str]:
    """A hash of each step, by path. Like the service, it goes by the address of data, not by its content."""
    found: dict[str, str] = {}
    for step in graph.steps:
        found[step.path] = _fingerprint(step, found)
    return found


def _fingerprint(step: Step, upstream: dict[str, str]) -> str:
    described = {
        "component": [step.component.id, step.component.command, step.component.code],
        "inputs": {name: _described(value, upstream) for name, value in step.inputs.items()},
        "outputs": {name: [output.type, output.uri] for name, output in step.outputs.items()},
        "environment": dict(step.environment_variables),
        "modes": dict(step.modes),
        "distribution": None if step.distribution is None else vars(step.distribution),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _described(value: Value, upstream: dict[str, str]) -> list[str]:
    if isinstance(value, Literal):
        return ["literal", value.value]
    if isinstance(value, Asset):
        return ["asset", value.uri]
    return ["output", upstream[value.step], value.output]
