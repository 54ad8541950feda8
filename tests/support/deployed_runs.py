"""Runs of the deployments, as a person at the API starts and follows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import Artifact, FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from flows.dashboard.run import row_of
from flows.run.config import Finetune
from tests.support.prefect_server import Server, until

_SOON = timedelta(seconds=10)  # the scheduler looks every five for new schedules
DEPLOYMENT = "finetune/local"  # the one that costs nothing
LIMIT = 240  # seconds; a run of the tiny component takes ten to twenty


def deployment_id(server: Server, name: str) -> UUID:
    with server.client() as client:
        return client.read_deployment_by_name(name).id


def runs_of(server: Server, deployment: str) -> list[UUID]:
    """The runs that there are of a deployment."""
    identity = deployment_id(server, deployment)
    with server.client() as client:
        return [run.id for run in client.read_flow_runs() if run.deployment_id == identity]


def start(server: Server, deployment: str, config: Finetune) -> UUID:
    """Ask for a run of a deployment, now; the worker takes it up."""
    parameters = {"config": config.model_dump(mode="json")}
    identity = deployment_id(server, deployment)
    with server.client() as client:
        return client.create_flow_run_from_deployment(identity, parameters=parameters).id


def pause_housekeeping(server: Server) -> None:
    """Pause what runs by the clock, so that it takes no processor from the run that is looked at."""
    with server.client() as client:
        for deployment in client.read_deployments():
            if "housekeeping" in deployment.tags:
                path = {"id": deployment.id}
                client.request("POST", "/deployments/{id}/pause_deployment", path_params=path)


@contextmanager
def scheduled_soon(server: Server, deployment: str) -> Iterator[datetime]:
    """A schedule of the deployment while the block runs, and the moment at which it fires first.

    It fires every minute from then on: a busy scheduler may come too late for the first time.
    """
    first = datetime.now(UTC) + _SOON
    schedule = DeploymentScheduleCreate(
        schedule=IntervalSchedule(interval=timedelta(minutes=1), anchor_date=first)
    )
    path = {"id": deployment_id(server, deployment)}
    with server.client() as client:
        body = [schedule.model_dump(mode="json", exclude_unset=True)]
        made = client.request("POST", "/deployments/{id}/schedules", path_params=path, json=body)
        try:
            yield first
        finally:
            path["schedule_id"] = made.json()[0]["id"]
            client.request("DELETE", "/deployments/{id}/schedules/{schedule_id}", path_params=path)


def scheduled(server: Server, deployment: str) -> FlowRun | None:
    """The first run that the scheduler, and nobody else, has made of the deployment."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id(server, deployment)]),
        tags=FlowRunFilterTags(all_=["auto-scheduled"]),
    )
    with server.client() as client:
        found = client.read_flow_runs(flow_run_filter=wanted)
    return min(found, key=lambda run: run.expected_start_time or datetime.max, default=None)


def read(server: Server, run: UUID) -> FlowRun:
    with server.client() as client:
        return client.read_flow_run(run)


def ended(server: Server, run: UUID, limit: float = LIMIT) -> FlowRun:
    """The run, once it is in a state that Prefect takes for final."""
    return when(server, run, lambda found: bool(found.state and found.state.is_final()), limit)


def when(server: Server, run: UUID, condition: Callable[[FlowRun], bool], limit: float = LIMIT) -> FlowRun:
    """The run, once the condition holds for it."""

    def look() -> FlowRun | None:
        found = read(server, run)
        return found if condition(found) else None

    return until(look, limit, f"the run is not as wanted: {read(server, run).state!r}\n{tail(server)}")


def training(server: Server, run: UUID) -> bool:
    """Whether the run has submitted its job and waits for it."""
    with server.client() as client:
        names = [task.name for task in client.read_task_runs() if task.flow_run_id == run]
    return any(name.startswith("train") for name in names)


def artifacts(server: Server, run: UUID) -> dict[str, Artifact]:
    """The run's artifacts by key."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with server.client() as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return {artifact.key or "": artifact for artifact in sorted(found, key=lambda each: each.key or "")}


def row(server: Server, run: UUID) -> dict[str, Any]:
    """The report that the run has left."""
    found = row_of(artifacts(server, run)["finetune-run"].data)
    assert found is not None
    return found


def jobs(ml_client: Any, fingerprint: str) -> list[str]:
    """The jobs of the workspace with a fingerprint in their name: those that were ever paid for."""
    return [job.name for job in ml_client.jobs.list() if fingerprint in job.name]


def tail(server: Server) -> str:
    """The last that the worker and its runs have said."""
    log = server.home / "worker.log"
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""
