"""What a plan is made of: facts of a workspace, or of what is shipped, and what a run knows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.azure.failure import Failure
from tasks.azure.sizes import Size
from tasks.data.expected import Expected
from tasks.job.parameters import ComponentInput
from tasks.model_version import BaseModelVersion
from tasks.quota import Room
from tasks.serving_image import ServingImage


@dataclass(frozen=True)
class Made:
    """A job or a model version that there is already, which an equal run would use."""

    name: str
    state: str
    run: str | None


@dataclass(frozen=True)
class Like:
    """An earlier run of the same recipe and model: hours of its training, dollars, rows."""

    hours: float
    dollars: float | None
    rows: int


@dataclass(frozen=True)
class ComponentVersion:
    """The component that trains, and what it takes."""

    id: str
    name: str
    version: str
    inputs: Mapping[str, ComponentInput]


@dataclass(frozen=True)
class Facts:
    """What is known before a run; None is what was not looked at or cannot be known."""

    base: BaseModelVersion
    component: ComponentVersion
    training: Size
    serving: Size
    tier: str
    data: Expected
    offline: bool
    workspace: str | None = None
    workspace_id: str | None = None
    cluster_exists: bool | None = None
    rooms: tuple[Room, ...] | None = None
    fingerprint: str | None = None
    job_name: str | None = None
    job: Made | None = None  # of the same inputs
    model: Made | None = None  # registered from that job
    endpoint: Made | None = None  # that serves it
    weights: int | None = None  # parameters of the model
    like: tuple[Like, ...] = ()
    image: ServingImage | None = None
    problems: tuple[Failure, ...] = ()
