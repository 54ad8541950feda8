"""What is kept of jobs, of the runs below them, and of the schedules that submit some."""

from __future__ import annotations

from typing import NotRequired, Required, TypedDict

from azureml_local.state.document import Json, SystemData
from azureml_local.state.job_states import JobState


class JobError(TypedDict):
    """Why a job failed; `details` are the errors of a pipeline's steps."""

    code: str
    message: str
    details: NotRequired[list[JobError | Json]]


class JobOutput(TypedDict):
    """Where an output of a job goes."""

    jobOutputType: str
    uri: str
    description: NotRequired[str | None]
    mode: NotRequired[str]


class JobProperties(TypedDict, total=False):
    """What the service shows of a job; of a submitted one also whatever else its request had."""

    status: Required[str]
    jobType: Required[str]
    experimentName: Required[str]
    displayName: Required[str]
    tags: Required[dict[str, str]]
    properties: Required[dict[str, str]]
    outputs: Required[dict[str, JobOutput]]
    description: str | None
    computeId: str | None
    settings: Json | None
    isArchived: bool


class JobDocument(TypedDict):
    """A job, submitted or a run below one.

    `parent` is the run right above it and `children` are those right below; `step` is its path in the root's
    graph, `request` the properties that were asked for, `nodes` is how many it runs on and `leases` are their
    ledger rows, `cancel` says that its end was asked for, times are ISO 8601. A `foreign` job was put here by
    a seed, and nothing here runs it.
    """

    name: str
    root: str
    parent: str | None
    step: str
    children: list[str]
    number: int
    request: Json
    seed: str
    properties: JobProperties
    created: str
    started: str | None
    ended: str | None
    error: JobError | None
    cancel: bool
    hidden: bool
    nodes: NotRequired[int]
    leases: list[str]
    foreign: NotRequired[bool]


class ScheduleProperties(TypedDict):
    """What the service shows of a schedule; trigger and action as they came."""

    description: str | None
    displayName: str | None
    tags: dict[str, str]
    properties: dict[str, str]
    isEnabled: bool
    trigger: Json
    action: Json
    provisioningState: str


class ScheduleDocument(TypedDict):
    """A schedule; `enabled` is the moment since which its trigger counts (ISO 8601)."""

    name: str
    properties: ScheduleProperties
    enabled: str
    systemData: SystemData


def status(job: JobDocument) -> JobState:
    """The job's state."""
    return JobState(job["properties"]["status"])


def has_ended(job: JobDocument) -> bool:
    """Whether the job is in a final state."""
    return status(job).is_final


def is_pipeline(job: JobDocument) -> bool:
    """Whether the job is a submitted pipeline, not a command or a run below a pipeline."""
    return holds_others(job) and job["parent"] is None


def holds_others(job: JobDocument) -> bool:
    """Whether the run stands for those below it: a pipeline, the node that is one, and the pipeline in it."""
    return job["properties"]["jobType"] == "Pipeline"


def outputs_of(job: JobDocument) -> dict[str, JobOutput]:
    """Where the job's outputs go, by name."""
    return job["properties"]["outputs"]


def experiment(job: JobDocument) -> str:
    """The experiment that the job belongs to."""
    return job["properties"]["experimentName"]


def job_type(job: JobDocument) -> str:
    """Command or Pipeline; a pipeline's step is a Command, unless it is a pipeline component."""
    return job["properties"]["jobType"]


def nodes_of(job: JobDocument) -> int:
    """How many nodes the job runs on."""
    return job.get("nodes", 1)


def run_properties(job: JobDocument) -> dict[str, str]:
    """What the service and the client have written on the job's run."""
    return job["properties"]["properties"]
