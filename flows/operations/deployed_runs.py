"""Runs of the deployments, followed through Prefect's API as a person would follow them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
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
from prefect.client.schemas.sorting import FlowRunSort

from flows.dashboard.run import row_of
from flows.operations.stand import PrefectServer, until
from flows.run.report import KEY
from tasks.azure.failure import Cause, Failure

_SOON = timedelta(seconds=5)  # the scheduler looks every two for schedules
_AGAIN = timedelta(seconds=20)  # more than the ten for which a worker takes up runs ahead: it takes up one
_LIMIT = 1200.0  # seconds; the local recipe takes one to two minutes on an idle machine


def deployment_id(server: PrefectServer, name: str) -> UUID:
    with server.client() as client:
        return client.read_deployment_by_name(name).id


def pause_housekeeping(server: PrefectServer) -> None:
    """Pause what runs by the clock, so that it takes no processor from the run that is looked at."""
    with server.client() as client:
        for deployment in client.read_deployments():
            if "housekeeping" in deployment.tags:
                path = {"id": deployment.id}
                client.request("POST", "/deployments/{id}/pause_deployment", path_params=path)


@contextmanager
def scheduled_soon(server: PrefectServer, deployment: str, parameters: dict[str, Any]) -> Iterator[datetime]:
    """A schedule of the deployment while the block runs, and the moment at which it fires first.

    Its runs have these parameters, and for the rest the deployment's. It fires again and again: a busy
    scheduler may come too late for the first time.
    """
    first = datetime.now(UTC) + _SOON
    schedule = DeploymentScheduleCreate(
        schedule=IntervalSchedule(interval=_AGAIN, anchor_date=first), parameters=parameters
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


def scheduled(client: SyncPrefectClient, deployment: UUID) -> FlowRun | None:
    """The first run that the scheduler, and nobody else, has made of the deployment."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
        tags=FlowRunFilterTags(all_=["auto-scheduled"]),
    )
    soonest = FlowRunSort.EXPECTED_START_TIME_ASC
    return next(iter(client.read_flow_runs(flow_run_filter=wanted, sort=soonest, limit=1)), None)


def read(server: PrefectServer, run: UUID) -> FlowRun:
    with server.client() as client:
        return client.read_flow_run(run)


def ended(server: PrefectServer, run: UUID, limit: float = _LIMIT) -> FlowRun:
    """The run, once it is in a state that Prefect takes for final."""
    return when(server, run, lambda found: bool(found.state and found.state.is_final()), limit)


def when(
    server: PrefectServer, run: UUID, condition: Callable[[FlowRun], bool], limit: float = _LIMIT
) -> FlowRun:
    """The run, once the condition holds for it; raises Failure with the worker's last words otherwise."""

    def look() -> FlowRun | None:
        found = client.read_flow_run(run)
        return found if condition(found) else None

    try:
        with server.client() as client:  # one for all looks: each new one asks for the server's version first
            return until(look, "The run does not get on.", limit)
    except Failure as failure:
        state = read(server, run).state
        said = f"{state!r}\n{tail(server)}"
        raise Failure(failure.what, failure.do, said, cause=Cause.TIMED_OUT) from failure


def artifacts(server: PrefectServer, run: UUID) -> dict[str, Artifact]:
    """The run's artifacts by key."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with server.client() as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return {artifact.key or "": artifact for artifact in sorted(found, key=lambda each: each.key or "")}


def row(server: PrefectServer, run: UUID) -> dict[str, Any] | None:
    """The report that the run has left; None when its process was lost before it could."""
    found = artifacts(server, run).get(KEY)
    return row_of(found.data) if found else None


def tail(server: PrefectServer) -> str:
    """The last lines that the worker and its runs have logged."""
    log = server.home / "worker.log"
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""
