"""The graph of a job: its steps, whose inputs are values, assets or what other steps write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from azureml_local.execution.component import PRIMITIVES, Component
from azureml_local.execution.distribution import Distribution
from azureml_local.execution.mode import Mode

SERVERLESS = "serverless"  # compute that the service brings along: no cluster, no limit but the quota


@dataclass(frozen=True)
class Literal:
    """A value as text, as every literal is on the wire."""

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
    mode: Mode | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is one file; a value is written to one, too."""
        return self.type == "uri_file" or self.type in PRIMITIVES


@dataclass(frozen=True)
class Target:
    """Where a step runs: on a cluster, or on serverless machines, of a size where one is named."""

    cluster: str | None = None
    vm_size: str | None = None


@dataclass(frozen=True)
class Step:
    """One command to run. `path` is unique in the job, `name` is what the service shows.

    `modes` says how inputs that are data are reached, where it is said.
    """

    path: str
    name: str
    component: Component
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Output]
    compute: Target = Target()
    display_name: str | None = None
    instance_count: int = 1
    timeout: float | None = None  # seconds
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    distribution: Distribution | None = None
    environment: str | None = None

    @property
    def needs(self) -> frozenset[str]:
        """The paths of the steps whose outputs it reads."""
        return frozenset(v.step for v in self.inputs.values() if isinstance(v, StepOutput))


@dataclass(frozen=True)
class Subgraph:
    """A node that is a pipeline component: the steps whose path begins with its own are in it."""

    path: str
    name: str
    component: Component
    display_name: str | None = None

    def holds(self, path: str) -> bool:
        """Whether the step or subgraph of that path is somewhere below."""
        return path.startswith(f"{self.path}/")


@dataclass(frozen=True)
class Graph:
    """Steps in an order in which each comes after what it needs; `outputs` names the job's own outputs.

    `subgraphs` are the pipeline components in it, each before those that it holds.
    """

    steps: tuple[Step, ...]
    outputs: Mapping[str, StepOutput]
    subgraphs: tuple[Subgraph, ...] = ()
