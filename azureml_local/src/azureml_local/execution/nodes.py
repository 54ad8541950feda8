"""What a job's request says, read and checked, with its bindings not yet followed.

A pipeline component writes its nodes in the same way, so that they are read here as well. Both of the ways to
write a property are understood: the wire's (componentId) and the SDK's own (component).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.execution import mode
from azureml_local.execution.component import text
from azureml_local.execution.duration import seconds
from azureml_local.execution.graph import Asset, Literal, Output
from azureml_local.execution.mode import Mode

_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w]+)\s*\}\}")
_LITERAL = "literal"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node: a component with its inputs and settings, whose text may bind to what its parent has.

    `bound_outputs` are those that are outputs of the parent, by the name that they have there; `outputs` says
    of the others where they go.
    """

    name: str
    component: str | None
    inputs: Mapping[str, Literal | Asset]
    bound_outputs: Mapping[str, str]
    outputs: Mapping[str, Output]
    compute: object = None
    display_name: str | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None  # seconds
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    distribution: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CommandJob:
    """A single command: that of a component, or one of its own."""

    node: Node
    command: str
    code: str | None
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class PipelineJob:
    """Nodes, with the inputs that they may bind to and the outputs that they may be bound to.

    A job that is a pipeline component has its nodes; `component` is that one's id.
    """

    nodes: tuple[Node, ...]
    inputs: Mapping[str, Literal | Asset]
    outputs: Mapping[str, Output]
    compute: object = None
    component: str | None = None
    continues: bool = True  # whether steps begin that do not need one which has failed


def read(properties: Mapping[str, Any]) -> CommandJob | PipelineJob:
    """The job that a request's properties describe; raises BadRequest for what they cannot be."""
    kind = properties.get("jobType")
    if kind == "Pipeline":
        return pipeline_job(properties)
    if kind == "Command":
        return command_job(properties)
    raise not_run(f"Jobs of type {kind}", "jobType")


def not_run(what: str, target: str) -> BadRequest:
    """The error of jobs of other types, submitted or within a pipeline."""
    return BadRequest(f"{what} are not run here: Command and Pipeline are.", target=target)


def command_job(properties: Mapping[str, Any]) -> CommandJob:
    """A command job's properties; the output `default` is the service's own. Raises BadRequest."""
    outputs = {n: spec for n, spec in _object(properties.get("outputs"), _PORTS).items() if n != "default"}
    return CommandJob(
        node=_node("", "the job", {**properties, "outputs": outputs}),
        command=str(properties.get("command") or ""),
        code=_optional_text(properties.get("codeId")),
        environment=_optional_text(properties.get("environmentId")),
    )


def pipeline_job(properties: Mapping[str, Any]) -> PipelineJob:
    """A pipeline job's properties; raises BadRequest."""
    settings = _object(properties.get("settings"), "settings")
    return PipelineJob(
        nodes=read_nodes(_object(properties.get("jobs"), "jobs")),
        inputs=_inputs(properties.get("inputs")),
        outputs={
            name: _output({} if isinstance(spec, str) else spec)
            for name, spec in _object(properties.get("outputs"), _PORTS).items()
        },
        compute=settings.get("default_compute") or properties.get("computeId"),
        component=_optional_text(properties.get("componentId")),
        continues=continues(settings),
    )


def continues(settings: Mapping[str, Any]) -> bool:
    """Whether a pipeline goes on beside a step that has failed: yes, unless its settings say otherwise.

    Seen in recorded traffic: a job without the setting gets azureml.continue_on_step_failure "True".
    """
    given = settings.get("continue_on_step_failure", settings.get("continue_run_on_step_failure"))
    return given is None or text(given).casefold() == "true"


def read_nodes(jobs: Mapping[str, Any], prefix: str = "") -> tuple[Node, ...]:
    """The nodes of a pipeline, or of the pipeline component that stands at the path `prefix`."""
    return tuple(
        _node(name, f"step '{prefix}{'/' if prefix else ''}{name}'", value) for name, value in jobs.items()
    )


_PORTS = "inputs and outputs"
# Of a pipeline's nodes; "pipeline_component" is assumed beside the name that the SDK sends.
_KINDS = frozenset({"command", "pipeline", "pipeline_component"})


def _node(name: str, where: str, value: object) -> Node:
    given = _object(value, where)
    kind = given.get("type")
    if isinstance(kind, str) and kind.casefold() not in _KINDS:
        raise not_run(f"{where.capitalize()}: jobs of type {kind}", "type")
    reference = given.get("componentId") or given.get("component")
    limits = _object(given.get("limits"), "limits")
    variables = _object(
        given.get("environmentVariables") or given.get("environment_variables"), "environment variables"
    )
    bound, placed = _outputs(given.get("outputs"))
    return Node(
        name=name,
        component=reference if isinstance(reference, str) else None,
        inputs=_inputs(given.get("inputs")),
        bound_outputs=bound,
        outputs=placed,
        compute=given.get("computeId") or given.get("compute"),
        display_name=_optional_text(given.get("displayName") or given.get("display_name")),
        resources=_object(given.get("resources"), "resources"),
        timeout=seconds(limits.get("timeout")),
        environment_variables={key: text(value) for key, value in variables.items()},
        modes=_modes(given.get("inputs")),
        distribution=_object(given.get("distribution"), "distribution"),
    )


def _modes(inputs: object) -> dict[str, Mode]:
    """How inputs are to be reached, where the request says it."""
    given = {n: spec.get("mode") for n, spec in _object(inputs, _PORTS).items() if isinstance(spec, Mapping)}
    read = {name: mode.read(value) for name, value in given.items()}
    return {name: found for name, found in read.items() if found is not None}


def _inputs(value: object) -> dict[str, Literal | Asset]:
    """The inputs that have a value, in any of the wire's ways to write one."""
    read = {name: _input(spec) for name, spec in _object(value, _PORTS).items()}
    return {name: found for name, found in read.items() if found is not None}


def _input(spec: object) -> Literal | Asset | None:
    if spec is None:
        return None
    if not isinstance(spec, Mapping):
        return Literal(text(spec))
    kind = spec.get("jobInputType") or spec.get("job_input_type") or spec.get("type") or _LITERAL
    uri = spec.get("uri") or spec.get("path")
    if not isinstance(kind, str) or not isinstance(uri, str | None):
        raise BadRequest("The type and the uri of an input must be text.", code="ValidationError")
    if kind == _LITERAL or uri is None:
        value = spec.get("value")
        return None if value is None else Literal(text(value))
    return Asset(uri, kind)


def _outputs(value: object) -> tuple[dict[str, str], dict[str, Output]]:
    """A node's outputs that are the parent's, and where the others go."""
    bound: dict[str, str] = {}
    placed: dict[str, Output] = {}
    for name, spec in _object(value, _PORTS).items():
        described = {"value": spec} if isinstance(spec, str) else _object(spec, "outputs")
        binding = described.get("value") or described.get("path")
        if match := _PARENT_OUTPUT.fullmatch(binding) if isinstance(binding, str) else None:
            bound[name] = match[1]
        else:
            placed[name] = _output(described)
    return bound, placed


def _output(value: object) -> Output:
    spec = _object(value, "outputs")
    kind = str(spec.get("jobOutputType") or spec.get("job_output_type") or "uri_folder")
    name = spec.get("assetName") or spec.get("name")
    version = spec.get("assetVersion") or spec.get("version")
    uri = spec.get("uri") or spec.get("path")
    return Output(
        kind,
        str(uri) if uri else None,
        (str(name), str(version) if version else None) if name else None,
        mode.read(spec.get("mode")),
    )


def _object(value: object, what: str) -> Mapping[str, Any]:
    """The value as a JSON object, empty when it is null; raises BadRequest."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest(f"The job's {what} must be an object.", code="ValidationError", target=what)
    return value


def _optional_text(value: object) -> str | None:
    return text(value) if value else None
