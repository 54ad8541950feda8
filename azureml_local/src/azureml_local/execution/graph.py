"""The graph of a job: its command steps, with every binding followed to a value, an asset or another step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.execution.component import Component, Port, ports, text
from azureml_local.execution.duration import seconds

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w.]+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w]+)\s*\}\}")
_PARENT_OUTPUT = re.compile(r"\$\{\{\s*parent\.outputs\.([\w]+)\s*\}\}")
_LITERAL = "literal"


@dataclass(frozen=True)
class Literal:
    value: str


@dataclass(frozen=True)
class Asset:
    """Data, a model or a path somewhere: `type` as in the request, e.g. uri_file."""

    uri: str
    type: str


@dataclass(frozen=True)
class StepOutput:
    """What another step writes."""

    step: str
    output: str


Value = Literal | Asset | StepOutput


@dataclass(frozen=True)
class Output:
    """Where a step writes; `uri` only where the user chose it, `asset` the name (and version) to register."""

    type: str
    uri: str | None = None
    asset: tuple[str, str | None] | None = None


@dataclass(frozen=True)
class Step:
    """One command to run. `path` is unique in the job, `name` is what the service shows."""

    path: str
    name: str
    component: Component
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Output]
    compute: str | None = None
    display_name: str | None = None
    instance_count: int = 1
    timeout: float | None = None  # seconds
    environment_variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def needs(self) -> frozenset[str]:
        """The paths of the steps whose outputs it reads."""
        return frozenset(v.step for v in self.inputs.values() if isinstance(v, StepOutput))


@dataclass(frozen=True)
class Graph:
    """Steps in an order in which each comes after what it needs; `outputs` names the job's own outputs."""

    steps: tuple[Step, ...]
    outputs: Mapping[str, StepOutput]


def of_command(properties: Mapping[str, Any], component: Component | None) -> Graph:
    """The graph of a command job: one step under the job's own name. Raises BadRequest."""
    body = component or Component(
        id=str(properties.get("componentId") or ""),
        name="",
        version="",
        type="command",
        inputs={},
        outputs=_declared_outputs(properties),
        command=str(properties.get("command") or ""),
        code=_optional_text(properties.get("codeId")),
        deterministic=False,
    )
    expansion = _Expansion(lambda _: body)
    given = {name: _value(spec) for name, spec in _items(properties.get("inputs"))}
    step = expansion.step("", "", properties, body, {k: v for k, v in given.items() if v is not None})
    expansion.raise_objections()
    outputs = {name: _output(spec) for name, spec in _items(properties.get("outputs")) if name != "default"}
    return Graph((replace(step, outputs={**step.outputs, **outputs}),), {})


def of_pipeline(properties: Mapping[str, Any], find: Callable[[str], Component]) -> Graph:
    """The graph of a pipeline job, pipeline components within it taken apart. Raises BadRequest."""
    expansion = _Expansion(find)
    scope = {name: value for name, spec in _items(properties.get("inputs")) if (value := _value(spec))}
    settings = _object(properties.get("settings"), "settings")
    compute = settings.get("default_compute") or properties.get("computeId")
    declared = dict(_items(properties.get("outputs")))
    expansion.place("", declared)
    expansion.expand("", _object(properties.get("jobs"), "jobs"), scope, compute)
    if not expansion.steps:
        expansion.objections.append("A pipeline job needs at least one step.")
    expansion.raise_objections()
    steps, aliases = expansion.resolved()
    outputs = {name: target for (path, name), target in aliases.items() if path == "" and name in declared}
    return Graph(tuple(_sorted(steps)), outputs)


class _Expansion:
    """Collects the steps of a pipeline while descending into its components, and what is wrong with them."""

    def __init__(self, find: Callable[[str], Component]) -> None:
        self.steps: list[Step] = []
        self.objections: list[str] = []
        self._find = find
        self._aliases: dict[tuple[str, str], tuple[str, str]] = {}
        self._placed: dict[tuple[str, str], Output] = {}

    def place(self, path: str, outputs: Mapping[str, Any]) -> None:
        """Remember where outputs of the job, or of a node, are to go and what they are to be called."""
        for name, spec in outputs.items():
            wanted = _output({} if isinstance(spec, str) else spec)
            if wanted.uri or wanted.asset:
                self._placed[path, name] = wanted

    def expand(
        self, prefix: str, jobs: Mapping[str, Any], scope: Mapping[str, Value], compute: str | None
    ) -> None:
        """Add the steps of `jobs`; `scope` is what `parent.inputs` means to them."""
        for name, value in jobs.items():
            path = f"{prefix}/{name}" if prefix else name
            node = _object(value, f"step '{path}'")
            reference = node.get("componentId") or node.get("component")
            if not isinstance(reference, str):
                self.objections.append(f"Step '{path}' names no component.")
                continue
            component = self._find(reference)
            given = self._given(prefix, path, node, scope)
            self._note_outputs(prefix, path, node)
            node_compute = self._text(node.get("computeId") or node.get("compute"), scope) or compute
            if component.type == "pipeline":
                inputs = self._checked(path, component.inputs, given)
                self.expand(path, component.jobs, inputs, node_compute)
                continue
            plain = {**node, "computeId": node_compute, "resources": self._resources(component, node, scope)}
            self.steps.append(self.step(path, name, plain, component, given))

    def step(
        self,
        path: str,
        name: str,
        node: Mapping[str, Any],
        component: Component,
        given: Mapping[str, Value],
    ) -> Step:
        """The step of a node whose bindings have been followed as far as its parent."""
        inputs = self._checked(path, component.inputs, given) if component.inputs else dict(given)
        resources = _object(node.get("resources"), "resources")
        count = text(resources.get("instanceCount") or resources.get("instance_count") or 1)
        if not count.isdigit() or int(count) < 1:
            self.objections.append(f"The instance count of {_where(path)} must be a whole number from 1 on.")
            count = "1"
        if not component.command.strip():
            self.objections.append(f"{_where(path)} has no command.")
        limits = _object(node.get("limits"), "limits")
        variables = _object(
            node.get("environmentVariables") or node.get("environment_variables"), "environment variables"
        )
        return Step(
            path=path,
            name=name,
            component=component,
            inputs=inputs,
            outputs={n: Output(port.type) for n, port in component.outputs.items()},
            compute=_compute_name(node.get("computeId")),
            display_name=_optional_text(node.get("displayName") or node.get("display_name")),
            instance_count=int(count),
            timeout=seconds(limits.get("timeout")),
            environment_variables={
                **component.environment_variables,
                **{key: text(value) for key, value in variables.items()},
            },
        )

    def resolved(self) -> tuple[list[Step], dict[tuple[str, str], StepOutput]]:
        """The steps with outputs of pipeline components followed to the command step that writes them."""
        paths = {step.path: step for step in self.steps}
        aliases = {
            source: self._follow(StepOutput(*target), paths) for source, target in self._aliases.items()
        }
        placed: dict[StepOutput, Output] = {}
        for source, wanted in self._placed.items():  # what is said further out comes first, and counts
            if source in self._aliases or source[0]:
                placed.setdefault(self._follow(StepOutput(*source), paths), wanted)
        steps = [
            replace(
                step,
                inputs={
                    name: self._follow(value, paths) if isinstance(value, StepOutput) else value
                    for name, value in step.inputs.items()
                },
                outputs={
                    name: replace(placed.get(StepOutput(step.path, name), output), type=output.type)
                    for name, output in step.outputs.items()
                },
            )
            for step in self.steps
        ]
        self.raise_objections()
        return steps, aliases

    def raise_objections(self) -> None:
        if not self.objections:
            return
        details = [BadRequest(objection, code="InvalidInput") for objection in self.objections]
        raise BadRequest(" ".join(self.objections), code="ValidationError", details=details)

    def _given(
        self, prefix: str, path: str, node: Mapping[str, Any], scope: Mapping[str, Value]
    ) -> dict[str, Value]:
        """The node's inputs with `parent` bindings followed; bound to nothing, one is absent."""
        given: dict[str, Value] = {}
        for name, spec in _items(node.get("inputs")):
            value = _value(spec)
            if value is None:
                continue
            content = (
                value.value if isinstance(value, Literal) else value.uri if isinstance(value, Asset) else ""
            )
            if match := _PARENT_INPUT.fullmatch(content):
                if match[1] in scope:
                    given[name] = scope[match[1]]
            elif match := _STEP_OUTPUT.fullmatch(content):
                given[name] = StepOutput(f"{prefix}/{match[1]}" if prefix else match[1], match[2])
            elif isinstance(value, Literal):
                given[name] = Literal(self._text(value.value, scope) or "")
            else:
                given[name] = value
        return given

    def _checked(self, path: str, inputs: Mapping[str, Port], given: Mapping[str, Value]) -> dict[str, Value]:
        """`given` with the component's defaults, each value checked against its port."""
        where = _where(path)
        for name in given.keys() - inputs.keys():
            self.objections.append(f"{where} has no input '{name}'; it takes {', '.join(inputs)}.")
        values: dict[str, Value] = {}
        for name, port in inputs.items():
            value = given.get(name)
            if value is None:
                if port.default is not None:
                    values[name] = Literal(port.default)
                elif not port.optional:
                    self.objections.append(f"{where} needs a value for its input '{name}'.")
                continue
            if isinstance(value, Literal) and port.is_primitive:
                if objection := port.objection(value.value):
                    self.objections.append(f"{where}: {objection}")
            elif isinstance(value, Literal):
                value = Asset(value.value, port.type)  # a path written as plain text
            elif port.is_primitive:
                self.objections.append(f"{where}: input '{name}' takes a {port.type}, not data.")
            values[name] = value
        return values

    def _note_outputs(self, prefix: str, path: str, node: Mapping[str, Any]) -> None:
        """Remember which of the parent's outputs are bound to which of this node's, and where others go."""
        unbound = {}
        for name, spec in _items(node.get("outputs")):
            described = {"value": spec} if isinstance(spec, str) else _object(spec, "outputs")
            binding = described.get("value") or described.get("path")
            match = _PARENT_OUTPUT.fullmatch(binding) if isinstance(binding, str) else None
            if match:
                self._aliases[prefix, match[1]] = (path, name)
            else:
                unbound[name] = described
        self.place(path, unbound)

    def _follow(self, value: StepOutput, paths: Mapping[str, Step]) -> StepOutput:
        seen = set()
        key = (value.step, value.output)
        while key in self._aliases and key not in seen:
            seen.add(key)
            key = self._aliases[key]
        step = paths.get(key[0])
        if step is None or key[1] not in step.outputs:
            self.objections.append(f"There is no output '{key[1]}' of a step '{key[0]}' to bind to.")
        return StepOutput(*key)

    def _resources(
        self, component: Component, node: Mapping[str, Any], scope: Mapping[str, Value]
    ) -> dict[str, str | None]:
        merged = {**component.resources, **_object(node.get("resources"), "resources")}
        return {key: self._text(value, scope) for key, value in merged.items() if not isinstance(value, dict)}

    def _text(self, value: object, scope: Mapping[str, Value]) -> str | None:
        """A setting's text with the parent's inputs put in; None when it is bound to one without value."""
        if value is None:
            return None
        content = text(value)
        for match in _PARENT_INPUT.finditer(content):
            bound = scope.get(match[1])
            if bound is None:
                return None
            if isinstance(bound, Literal):
                content = content.replace(match[0], bound.value)
        return content


def _object(value: object, what: str) -> Mapping[str, Any]:
    """The value as a JSON object, empty when it is null; raises BadRequest."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRequest(f"The job's {what} must be an object.", code="ValidationError", target=what)
    return value


def _items(value: object) -> Iterable[tuple[str, Any]]:
    """The inputs or outputs of a job or node."""
    return _object(value, "inputs and outputs").items()


def _value(spec: object) -> Value | None:
    """An input as any of the wire's ways to write it."""
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


def _output(value: object) -> Output:
    spec = _object(value, "outputs")
    kind = str(spec.get("jobOutputType") or spec.get("job_output_type") or "uri_folder")
    name = spec.get("assetName") or spec.get("name")
    version = spec.get("assetVersion") or spec.get("version")
    uri = spec.get("uri") or spec.get("path")
    return Output(
        kind, str(uri) if uri else None, (str(name), str(version) if version else None) if name else None
    )


def _declared_outputs(properties: Mapping[str, Any]) -> dict[str, Port]:
    declared = {n: {"type": _output(s).type} for n, s in _items(properties.get("outputs")) if n != "default"}
    return ports(declared)


def _sorted(steps: Iterable[Step]) -> list[Step]:
    """The steps, each after those it needs; raises BadRequest for a circle."""
    waiting = list(steps)
    done: dict[str, Step] = {}
    while waiting:
        ready = [step for step in waiting if step.needs <= done.keys()]
        if not ready:
            raise BadRequest(
                "The steps " + ", ".join(step.path for step in waiting) + " wait for each other.",
                code="ValidationError",
            )
        done |= {step.path: step for step in ready}
        waiting = [step for step in waiting if step.path not in done]
    return list(done.values())


def _optional_text(value: object) -> str | None:
    return text(value) if value else None


def _compute_name(reference: object) -> str | None:
    """A compute's name from its name, its short id or its ARM id."""
    if not reference:
        return None
    return str(reference).removeprefix("azureml:").rsplit("/", 1)[-1]


def _where(path: str) -> str:
    return f"Step '{path}'" if path else "The job"
