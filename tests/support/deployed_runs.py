"""Runs of the deployments, as a person at the API starts and follows them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId, FlowRunFilterId

from flows.operations.deployed_runs import (
    artifacts,
    deployment_id,
    ended,
    pause_housekeeping,
    read,
    tail,
    when,
)
from flows.operations.deployed_runs import row as reported
from flows.operations.show import DEPLOYMENT
from flows.run import parameters
from flows.run.config import Finetune
from flows.run.signature import DEFAULT_RECIPE
from tests.support import ours
from tests.support.prefect_server import PrefectServer

__all__ = ["DEPLOYMENT", "artifacts", "deployment_id", "ended", "pause_housekeeping", "read", "tail", "when"]


def runs_of(server: PrefectServer, deployment: str) -> list[UUID]:
    """The runs that there are of a deployment; the scheduler makes hundreds of others."""
    identity = deployment_id(server, deployment)
    wanted = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[identity]))
    with server.client() as client:
        return [run.id for run in client.read_flow_runs(flow_run_filter=wanted)]


def start(server: PrefectServer, deployment: str, config: Finetune) -> UUID:
    """Ask for a run of a deployment, now; the worker takes it up."""
    identity = deployment_id(server, deployment)
    # The form has the recipes that are shipped; whose name stands there matters not where all else is given.
    given = parameters.of(config.model_copy(update={"recipe": DEFAULT_RECIPE}))
    with server.client() as client:
        return client.create_flow_run_from_deployment(identity, parameters=given).id


def training(server: PrefectServer, run: UUID) -> bool:
    """Whether the run has submitted its job and waits for it."""
    of_run = FlowRunFilter(id=FlowRunFilterId(any_=[run]))
    with server.client() as client:
        return any(task.name.startswith("train") for task in client.read_task_runs(flow_run_filter=of_run))


def row(server: PrefectServer, run: UUID) -> dict[str, Any]:
    """The report that the run has left."""
    found = reported(server, run)
    assert found is not None
    return found


def jobs(fingerprint: str) -> list[str]:
    """The jobs of the workspace with a fingerprint in their name: those that were ever paid for."""
    return [job.name for job in ours.jobs() if fingerprint in job.name]
