"""From a job's nodes to its graph: every binding followed to a value, an asset or another step.

Components are looked up, and pipelines within pipelines taken apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.execution import distribution, mode, nodes
from azureml_local.execution.component import PRIMITIVES, Component, Port, text
from azureml_local.execution.graph import (
    SERVERLESS,
    Asset,
    Graph,
    Literal,
    Output,
    Step,
    StepOutput,
    Subgraph,
    Target,
    Value,
)
from azureml_local.execution.nodes import CommandJob, Node, PipelineJob

_PARENT_INPUT = re.compile(r"\$\{\{\s*parent\.inputs\.([\w.]+)\s*\}\}")
_STEP_OUTPUT = re.compile(r"\$\{\{\s*parent\.jobs\.([\w-]+)\.outputs\.([\w]+)\s*\}\}")

Find = Callable[[str], Component]


def bind(job: CommandJob | PipelineJob, find: Find) -> Graph:
    """The graph of a job, whose components `find` looks up; raises BadRequest with all that is wrong."""
    if isinstance(job, CommandJob):
        return of_command(job, find(job.node.component) if job.node.component else None)
    return of_pipeline(job, find)


def of_command(job: CommandJob, component: Component | None) -> Graph:
    """The graph of a command job: one step under the job's own name. Raises BadRequest."""
    node = job.node
    body = component or Component(
        id="",
        name="",
        version="",
        type="command",
        inputs={},
        outputs={name: Port(name, output.type) for name, output in node.outputs.items()},
        command=job.command,
        code=job.code,
        deterministic=False,
        environment=job.environment,
    )
    objections: list[str] = []
    inputs = _checked("", body.inputs, node.inputs, objections) if body.inputs else dict(node.inputs)
    step = _step("", node, body, inputs, objections)
    _raise(objections)
    return Graph((replace(step, outputs={**step.outputs, **node.outputs}),), {})


def of_pipeline(job: PipelineJob, find: Find) -> Graph:
    """The graph of a pipeline job, pipeline components within it taken apart. Raises BadRequest."""
    expansion = _Expansion(find)
    expansion.place("", job.outputs)
    if job.component:
        expansion.expand_component(job, find(job.component))
    else:
        expansion.expand("", job.nodes, job.inputs, job.compute)
    if not expansion.steps:
        expansion.objections.append("A pipeline job needs at least one step.")
    _raise(expansion.objections)
    steps, aliases = _resolved(expansion)
    outputs = {name: target for (path, name), target in aliases.items() if path == "" and name in job.outputs}
    return Graph(tuple(_sorted(steps)), outputs, tuple(expansion.subgraphs))


class _Expansion:
    """Collects the steps of a pipeline while descending into its components, and what is wrong with them.

    `aliases` leads from an output of a pipeline, (path, name), to that of the node that is bound to it;
    `placed` says of outputs where they are to go and what they are to be called.
    """

    def __init__(self, find: Find) -> None:
        self.steps: list[Step] = []
        self.subgraphs: list[Subgraph] = []
        self.objections: list[str] = []
        self.aliases: dict[tuple[str, str], tuple[str, str]] = {}
        self.placed: dict[tuple[str, str], Output] = {}
        self._find = find

    def place(self, path: str, outputs: Mapping[str, Output]) -> None:
        """Remember where outputs of the job, or of a node, are to go and what they are to be called."""
        self.placed |= {
            (path, name): wanted
            for name, wanted in outputs.items()
            if wanted.uri or wanted.asset or wanted.mode
        }

    def expand_component(self, job: PipelineJob, component: Component) -> None:
        """Add the steps of a job that is a pipeline component: there is no node around them.

        Seen in recorded traffic: `componentId` beside empty `jobs`, inputs under the component's names. The
        SDK sends the component's own nodes in `jobs` where it has them; that the id counts is assumed.
        """
        if component.type != "pipeline":
            self.objections.append(f"The job's component {component.name} is not a pipeline component.")
            return
        inputs = _checked("", component.inputs, job.inputs, self.objections)
        self.expand("", nodes.read_nodes(component.jobs), inputs, job.compute)

    def expand(
        self, prefix: str, children: Iterable[Node], scope: Mapping[str, Value], compute: object
    ) -> None:
        """Add the steps of `children`; `scope` is what `parent.inputs` means to them."""
        for node in children:
            path = f"{prefix}/{node.name}" if prefix else node.name
            if node.component is None:
                self.objections.append(f"Step '{path}' names no component.")
                continue
            component = self._find(node.component)
            if component.type.casefold() not in ("command", "pipeline"):
                raise nodes.not_run(f"Step '{path}': jobs of type {component.type}", "type")
            given = _followed(node, prefix, scope)
            self.aliases |= {(prefix, parents): (path, name) for name, parents in node.bound_outputs.items()}
            self.place(path, node.outputs)
            node_compute = _text(node.compute, scope) or compute
            if component.type == "pipeline":
                self.subgraphs.append(Subgraph(path, node.name, component, node.display_name))
                inputs = _checked(path, component.inputs, given, self.objections)
                self.expand(path, nodes.read_nodes(component.jobs, path), inputs, node_compute)
                continue
            inputs = _checked(path, component.inputs, given, self.objections) if component.inputs else given
            resources = _resources(component, node, scope)
            bound = replace(node, compute=node_compute, resources=resources)
            self.steps.append(_step(path, bound, component, inputs, self.objections))


def _followed(node: Node, prefix: str, scope: Mapping[str, Value]) -> dict[str, Value]:
    """The node's inputs with `parent` bindings followed; bound to nothing, one is absent."""
    given: dict[str, Value] = {}
    for name, value in node.inputs.items():
        content = value.value if isinstance(value, Literal) else value.uri
        if match := _PARENT_INPUT.fullmatch(content):
            if match[1] in scope:
                given[name] = scope[match[1]]
        elif match := _STEP_OUTPUT.fullmatch(content):
            given[name] = StepOutput(f"{prefix}/{match[1]}" if prefix else match[1], match[2])
        elif isinstance(value, Literal):
            given[name] = Literal(_text(value.value, scope) or "")
        else:
            given[name] = value
    return given


def _checked(
    path: str, inputs: Mapping[str, Port], given: Mapping[str, Value], objections: list[str]
) -> dict[str, Value]:
    """`given` with the component's defaults, each value checked against its port."""
    where = _where(path)
    objections += [
        f"{where} has no input '{name}'; it takes {', '.join(inputs)}."
        for name in given.keys() - inputs.keys()
    ]
    values: dict[str, Value] = {}
    for name, port in inputs.items():
        value = given.get(name)
        if value is None:
            if port.default is not None:
                values[name] = Literal(port.default)
            elif not port.optional:
                objections.append(f"{where} needs a value for its input '{name}'.")
            continue
        if isinstance(value, Literal) and port.is_primitive:
            if objection := port.objection(value.value):
                objections.append(f"{where}: {objection}")
        elif isinstance(value, Literal):
            value = Asset(value.value, port.type)  # a path written as plain text
        elif port.is_primitive and isinstance(value, Asset):
            objections.append(f"{where}: input '{name}' takes a {port.type}, not data.")
        values[name] = value
    return values


def _step(
    path: str, node: Node, component: Component, inputs: Mapping[str, Value], objections: list[str]
) -> Step:
    """The step of a node whose bindings have been followed as far as its parent."""
    resources = node.resources
    count = text(resources.get("instanceCount") or resources.get("instance_count") or 1)
    if not count.isdigit() or int(count) < 1:
        objections.append(f"The instance count of {_where(path)} must be a whole number from 1 on.")
        count = "1"
    if not component.command.strip():
        objections.append(f"{_where(path)} has no command.")
    modes = {name: mode.read(port.mode) for name, port in component.inputs.items()}
    return Step(
        path=path,
        name=node.name,
        component=component,
        inputs=inputs,
        outputs={n: Output(port.type) for n, port in component.outputs.items()},
        compute=_target(node.compute, resources),
        display_name=node.display_name,
        instance_count=int(count),
        timeout=node.timeout,
        environment_variables={**component.environment_variables, **node.environment_variables},
        modes={**{name: found for name, found in modes.items() if found is not None}, **node.modes},
        distribution=distribution.read(
            node.distribution or component.distribution, int(count), _where(path), objections
        ),
        environment=component.environment,
    )


def _resolved(expansion: _Expansion) -> tuple[list[Step], dict[tuple[str, str], StepOutput]]:
    """The steps with outputs of pipeline components followed to the command step that writes them."""
    paths = {step.path: step for step in expansion.steps}
    aliases = {s: _end(StepOutput(*target), paths, expansion) for s, target in expansion.aliases.items()}
    placed: dict[StepOutput, Output] = {}
    for source, wanted in expansion.placed.items():  # what is said further out comes first, and counts
        if source in expansion.aliases or source[0]:
            placed.setdefault(_end(StepOutput(*source), paths, expansion), wanted)
    for step in expansion.steps:
        expansion.objections += _of_other_types(step, paths, expansion)
    steps = [
        replace(
            step,
            inputs={
                name: _end(value, paths, expansion) if isinstance(value, StepOutput) else value
                for name, value in step.inputs.items()
            },
            outputs={
                name: replace(placed.get(StepOutput(step.path, name), output), type=output.type)
                for name, output in step.outputs.items()
            },
        )
        for step in expansion.steps
    ]
    _raise(expansion.objections)
    return steps, aliases


def _end(value: StepOutput, paths: Mapping[str, Step], expansion: _Expansion) -> StepOutput:
    """The command step's output that an output is in the end."""
    seen = set()
    key = (value.step, value.output)
    while key in expansion.aliases and key not in seen:
        seen.add(key)
        key = expansion.aliases[key]
    step = paths.get(key[0])
    if step is None or key[1] not in step.outputs:
        expansion.objections.append(f"There is no output '{key[1]}' of a step '{key[0]}' to bind to.")
    return StepOutput(*key)


def _of_other_types(step: Step, paths: Mapping[str, Step], expansion: _Expansion) -> list[str]:
    """What is wrong with inputs that are values, and bound to what another step writes."""
    found = []
    for name, port in step.component.inputs.items():
        value = step.inputs.get(name)
        if not port.is_primitive or not isinstance(value, StepOutput):
            continue
        source = _end(value, paths, expansion)
        output = paths[source.step].outputs.get(source.output) if source.step in paths else None
        if output is not None and output.type not in PRIMITIVES:
            found.append(
                f"{_where(step.path)}: input '{name}' takes a {port.type}, not the {output.type} that step "
                f"'{source.step}' writes."
            )
    return found


def _resources(component: Component, node: Node, scope: Mapping[str, Value]) -> dict[str, Any]:
    merged = {**component.resources, **node.resources}
    return {key: _text(value, scope) for key, value in merged.items() if not isinstance(value, dict)}


def _text(value: object, scope: Mapping[str, Value]) -> str | None:
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


def _raise(objections: list[str]) -> None:
    """Raise BadRequest with all of them, if there are any."""
    if objections:
        details = [BadRequest(objection, code="InvalidInput") for objection in objections]
        raise BadRequest(" ".join(objections), code="ValidationError", details=details)


def _target(reference: object, resources: Mapping[str, Any]) -> Target:
    """A cluster by its name, its short id or its ARM id; of serverless machines the size."""
    name = str(reference or "").removeprefix("azureml:").rsplit("/", 1)[-1]
    if name and name.casefold() != SERVERLESS:
        return Target(cluster=name)
    size = resources.get("instanceType") or resources.get("instance_type")
    return Target(vm_size=text(size) if size else None)


def _where(path: str) -> str:
    return f"Step '{path}'" if path else "The job"
