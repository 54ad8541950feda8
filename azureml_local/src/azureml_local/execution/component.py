"""Components: what a step takes, gives and runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import BATCH_COMPONENTS, AssetDocument, assets
from azureml_local.state.store import Store

PRIMITIVES = frozenset({"string", "integer", "number", "boolean"})  # types of values, not of data
_WORKSPACE_ID = re.compile(r".*/workspaces/[^/]+/components/([^/]+)/versions/([^/]+)", re.IGNORECASE)
_REGISTRY_ID = re.compile(
    r"(?:azureml:)?azureml://registries/(?P<registry>[^/]+)/components/([^/]+)/versions/([^/]+)",
    re.IGNORECASE,
)
# What a batch deployment's jobs run, see execution/batch.py.
_BATCH_ID = re.compile(r".*/batchEndpoints/[^/]+/deployments/([^/]+)/components/([^/]+)", re.IGNORECASE)
_SHORT_ID = re.compile(r"azureml:([^/:]+):([^/:]+)")


@dataclass(frozen=True)
class Port:
    """An input or output of a component; `default` None where there is none."""

    name: str
    type: str
    optional: bool = False
    default: str | None = None
    enum: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    mode: str | None = None

    @property
    def is_primitive(self) -> bool:
        """Whether it takes a literal, not data."""
        return self.type in PRIMITIVES

    def objection(self, value: str) -> str | None:
        """What is wrong with the literal `value`, or None."""
        if self.type == "boolean" and value.casefold() not in ("true", "false"):
            return f"Input '{self.name}' must be true or false, not '{value}'."
        if self.enum and value.casefold() not in {choice.casefold() for choice in self.enum}:
            return f"Input '{self.name}' must be one of {', '.join(self.enum)}, not '{value}'."
        if self.type not in ("integer", "number"):
            return None
        number = _number(value, whole=self.type == "integer")
        if number is None:
            return f"Input '{self.name}' must be of type {self.type}, not '{value}'."
        if self.minimum is not None and number < self.minimum:
            return f"Input '{self.name}' must be at least {self.minimum:g}, not {value}."
        if self.maximum is not None and number > self.maximum:
            return f"Input '{self.name}' must be at most {self.maximum:g}, not {value}."
        return None


@dataclass(frozen=True)
class Component:
    """A command component, or a pipeline component whose `jobs` are nodes of further components."""

    id: str
    name: str
    version: str
    type: str
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    command: str = ""
    code: str | None = None
    deterministic: bool = True
    environment: str | None = None
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    distribution: Mapping[str, Any] = field(default_factory=dict)
    jobs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def find(store: Store, reference: str) -> Component:
    """The component of the workspace or the registry with that id; raises BadRequest."""
    kind, name, version, registry = _parse(reference)
    document = (store.of_registry(registry) if registry else store).get(kind, f"{name}/{version}")
    if document is None:
        raise BadRequest(
            f"key: {reference}, Message: the component was not found; create it before the job that uses it.",
            target="componentId",
        )
    return _component(reference, name, version, document["properties"]["componentSpec"])


def ports(specs: Mapping[str, Any] | None) -> dict[str, Port]:
    """The `inputs` or `outputs` of a component's specification."""
    return {name: _port(name, spec or {}) for name, spec in (specs or {}).items()}


def text(value: object) -> str:
    """A literal as the service writes it: on the wire every one is a string."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _parse(reference: str) -> tuple[Kind[AssetDocument], str, str, str | None]:
    """The kind of documents, name and version of a component's id, and the registry where it is of one."""
    for pattern, kind in (
        (_REGISTRY_ID, assets("components", registry=True)),
        (_WORKSPACE_ID, assets("components")),
        (_BATCH_ID, BATCH_COMPONENTS),
        (_SHORT_ID, assets("components")),
    ):
        match = pattern.fullmatch(reference)
        if match:
            name, version = match.groups()[-2:]
            return kind, name, version, match.groupdict().get("registry")
    raise BadRequest(f"'{reference}' is not a component id.", target="componentId")


def _component(reference: str, name: str, version: str, spec: Json) -> Component:
    code = spec.get("code") or spec.get("codeId")
    return Component(
        id=reference,
        name=str(spec.get("name") or name),
        version=str(spec.get("version") or version),
        type=str(spec.get("type") or "command"),
        inputs=ports(spec.get("inputs")),
        outputs=ports(spec.get("outputs")),
        command=str(spec.get("command") or ""),
        code=str(code) if code else None,
        deterministic=text(spec.get("is_deterministic", True)).casefold() == "true",
        environment=environment if isinstance(environment := spec.get("environment"), str) else None,
        environment_variables=_strings(spec.get("environment_variables")),
        resources=spec.get("resources") or {},
        distribution=spec.get("distribution") or {},
        jobs=spec.get("jobs") or {},
    )


def _port(name: str, spec: Mapping[str, Any]) -> Port:
    default = spec.get("default")
    enum: Sequence[object] = spec.get("enum") or ()
    return Port(
        name=name,
        type=str(spec.get("type") or "string").casefold(),
        optional=text(spec.get("optional", False)).casefold() == "true",
        default=None if default is None else text(default),
        enum=tuple(text(choice) for choice in enum),
        minimum=_bound(spec.get("min")),
        maximum=_bound(spec.get("max")),
        mode=spec.get("mode"),
    )


def _bound(value: object) -> float | None:
    return None if value is None else _number(text(value), whole=False)


def _number(value: str, *, whole: bool) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return None
    return number


def _strings(values: Mapping[str, object] | None) -> dict[str, str]:
    return {name: text(value) for name, value in (values or {}).items()}
