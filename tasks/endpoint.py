"""The endpoint: created under a lease, or reused from an earlier run of the same job."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, operation
from tasks.azure.clients import Session
from tasks.azure.errors import unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import PREFIX, Lease, unless_anew
from tasks.core.limit import OPERATION
from tasks.core.names import endpoint_name
from tasks.core.reuse import Reused
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.job.pipeline import Plan
from tasks.job.wait import TrainedJob

JOB = f"{PREFIX}job"


class Endpoint(BaseModel):
    """An online endpoint that serves the model of a job."""

    model_config = ConfigDict(frozen=True)

    name: str
    job: str
    reused: Reused | None = None


def name_of(session: Session, chosen: str | None, plan: Plan, job: TrainedJob) -> str:
    """The endpoint's name: the user's, or one that follows from the job."""
    return chosen or endpoint_name(plan.dataset, job.name, session.workspace_id)


@stage(Stage.ENDPOINT, limit=OPERATION)
def open_endpoint(session: Session, name: str, job: TrainedJob, lease: Lease) -> Endpoint:
    """Create the endpoint, or take over the one that an earlier run of the same job left.

    Raises Failure when the name belongs to something else.
    """
    while True:
        found = find(session, name)
        if found is None:
            if _create(session, name, job, lease):
                return Endpoint(name=name, job=job.name)
            continue  # another run has deleted it meanwhile
        holder = Lease.read(found.tags)
        if holder is None:
            raise Failure(
                f"The endpoint name {name!r} is taken by an endpoint that this project did not create.",
                "Set deploy.endpoint to another name.",
                cause=Cause.NAME_TAKEN,
            )
        if found.tags.get(JOB) != job.name and not holder.expired():
            raise Failure(
                f"The endpoint {name!r} serves the job {found.tags.get(JOB)}.",
                "Set deploy.endpoint to another name, or delete it.",
                cause=Cause.IN_USE,
            )
        state = operation.state(found)
        if state == "Deleting":
            _until_gone(session, name, holder.run)
        elif not operation.is_settled(found):
            operation.settled(lambda: find(session, name))
        elif state != "Succeeded" or found.tags.get(JOB) != job.name:
            logger().info("Endpoint %s is %s: creating it again", name, state)
            remove(session, name, holder.run)
        else:
            return _take_over(session, found, holder, job, lease)


def lost(session: Session, endpoint: Endpoint, lease: Lease) -> bool:
    """Whether another run of the same job, which shares the endpoint, has deleted it or taken it over."""
    found = find(session, endpoint.name)
    if found is None or operation.state(found) == "Deleting":
        return True
    holder = Lease.read(found.tags)
    return holder is None or (holder.run != lease.run and not holder.is_kept())


@stage(Stage.TRAFFIC, limit=OPERATION)
def route(session: Session, endpoint: Endpoint, deployment: str) -> None:
    """Send all traffic to one deployment."""
    found = find(session, endpoint.name)
    if found is None:
        raise Failure(
            f"The endpoint {endpoint.name!r} is gone.",
            "Run again: the job and its model are kept.",
            cause=Cause.NOT_FOUND,
        )
    if {name: share for name, share in (found.traffic or {}).items() if share} != {deployment: 100}:
        update(session, found, found.tags, {deployment: 100})


def find(session: Session, name: str) -> Any:
    """The SDK's endpoint, or None."""
    return unless_missing(lambda: clients.workspace(session).online_endpoints.get(name))


def update(session: Session, found: Any, tags: dict[str, str], traffic: dict[str, int]) -> None:
    """Set the endpoint's tags and the shares of its traffic, in percent by deployment."""
    found.tags = tags
    found.traffic = {name: share for name, share in (traffic or {}).items() if share}
    poller = clients.workspace(session).online_endpoints.begin_create_or_update(found)
    operation.settled(lambda: find(session, found.name), poller)


def remove(session: Session, name: str, run: str | None) -> None:
    """Delete the endpoint that the run holds, with its deployments, and return when it is seen to be gone.

    It may be there anew by then: another run of the same job waits for nothing but this.
    """
    report(f"deleting {name}")
    operation.delete(lambda: clients.workspace(session).online_endpoints.begin_delete(name))
    _until_gone(session, name, run)


def _create(session: Session, name: str, job: TrainedJob, lease: Lease) -> bool:
    """Create the endpoint; False when it was there, and was deleted before it could be used."""
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    report(f"creating {name}")
    endpoint = ManagedOnlineEndpoint(
        name=name,
        auth_mode="key",
        description=f"Serves the model of the job {job.name} to prove that it answers.",
        tags={**lease.tags(), JOB: job.name},
    )
    poller = clients.workspace(session).online_endpoints.begin_create_or_update(endpoint)
    made = operation.settled(lambda: find(session, name), poller)
    if made is None or operation.state(made) == "Deleting":
        return False
    if operation.state(made) != "Succeeded":
        raise Failure(
            f"The endpoint {name!r} could not be created.",
            "See its page in the studio.",
            cause=Cause.DEPLOYMENT,
        )
    logger().info("Created endpoint %s", name)
    return True


def _take_over(session: Session, found: Any, holder: Lease, job: TrainedJob, lease: Lease) -> Endpoint:
    if holder.run == lease.run:
        return Endpoint(name=found.name, job=job.name)
    if not holder.is_kept():  # else it is used, and stays the other run's
        update(session, found, lease.on(found.tags), found.traffic)
    reused = Reused(kind="endpoint", name=found.name, run=holder.run)
    logger().info("Reusing %s", reused)
    return Endpoint(name=found.name, job=job.name, reused=reused)


def _until_gone(session: Session, name: str, run: str | None) -> None:
    operation.gone(
        lambda: unless_anew(find(session, name), run),
        f"endpoint {name!r}",
        f"az ml online-endpoint delete -n {name}",
    )
