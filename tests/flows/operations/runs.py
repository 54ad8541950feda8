"""Runs of the deployments, as a person at the API starts and follows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun

from flows.config import Finetune
from tests.flows.operations.processes import Server, until

LIMIT = 240  # seconds; a run of the tiny component takes ten to twenty


def deployment_id(server: Server, name: str) -> UUID:
    with server.client() as client:
        return client.read_deployment_by_name(name).id


def start(server: Server, deployment: str, config: Finetune) -> UUID:
    """Ask for a run of a deployment, now; the worker takes it up."""
    parameters = {"config": config.model_dump(mode="json")}
    identity = deployment_id(server, deployment)
    with server.client() as client:
        return client.create_flow_run_from_deployment(identity, parameters=parameters).id


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


def artifacts(server: Server, run: UUID) -> dict[str, Any]:
    """The data of the run's artifacts by key."""
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with server.client() as client:
        return {found.key or "": found.data for found in client.read_artifacts(artifact_filter=wanted)}


def row(server: Server, run: UUID) -> dict[str, Any]:
    """The report that the run has left."""
    found: dict[str, Any] = json.loads(artifacts(server, run)["finetune-run"])[0]
    return found


def jobs(ml_client: Any, fingerprint: str) -> list[str]:
    """The jobs of the workspace with a fingerprint in their name: those that were ever paid for."""
    return [job.name for job in ml_client.jobs.list() if fingerprint in job.name]


def tail(server: Server) -> str:
    """The last that the worker and its runs have said."""
    log = server.home / "worker.log"
    return log.read_text(errors="replace")[-3000:] if log.exists() else ""
