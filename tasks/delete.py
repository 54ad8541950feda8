"""The end: what the run made and bills is deleted and seen to be gone, or kept on purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import compute, deploy, endpoint
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import FOREVER, Lease
from tasks.core.limit import OPERATION
from tasks.core.outage import CLEAN_UP
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.job import pipeline


class EndpointEnd(StrEnum):
    DELETED = "deleted"  # seen to be gone
    KEPT = "kept"  # on purpose, under a lease of its own
    RELEASED = "released"  # owned by another run by the time this one ended


class Deletion(BaseModel):
    """What became of the endpoint, seen `at` that time.

    `until` is when the lease of a kept one ends, None for never; `owner` is the flow run that has a released
    one, None where that is not known.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: str
    state: EndpointEnd
    at: datetime
    until: datetime | None = None
    owner: str | None = None

    def __str__(self) -> str:
        if self.state is EndpointEnd.DELETED:
            return f"deleted (404 at {self.at.isoformat(timespec='seconds')})"
        if self.state is EndpointEnd.KEPT:
            return f"kept until {self.until.isoformat(timespec='seconds')}" if self.until else "kept for ever"
        return f"not deleted: now owned by {f'flow run {self.owner}' if self.owner else 'somebody else'}"

    def serves(self, now: datetime) -> bool:
        """Whether the endpoint is up on purpose, under a lease that has not ended."""
        return self.state is EndpointEnd.KEPT and (self.until is None or self.until > now)


@stage(Stage.DELETE, retries=5, limit=OPERATION, patience=CLEAN_UP)
def delete_endpoint(session: Session, name: str, lease: Lease) -> Deletion:
    """Delete the endpoint with all its deployments, and see it gone.

    One that another run of the same job has taken over meanwhile, or keeps on purpose, is left to that run.
    """
    found = endpoint.find(session, name)
    if found is not None and _is_ours(found, lease):
        endpoint.remove(session, name, lease.run)
        found = endpoint.find(session, name)
    now = datetime.now(UTC)
    if found is not None:
        holder = Lease.read(found.tags)
        if holder is not None and holder.is_kept():
            _remove_idle(session, found, lease)
        owner = holder.run if holder else None
        released = Deletion(endpoint=name, state=EndpointEnd.RELEASED, at=now, owner=owner)
        logger().warning("Endpoint %s is %s", name, released)
        return released
    logger().info("Endpoint %s is gone", name)
    return Deletion(endpoint=name, state=EndpointEnd.DELETED, at=now)


@stage(Stage.KEEP, limit=OPERATION, patience=CLEAN_UP)
def keep_endpoint(session: Session, name: str, lease: Lease) -> Deletion:
    """Leave the endpoint up on purpose, with a lease that says until when."""
    found = endpoint.find(session, name)
    if found is None:
        raise Failure(
            f"The endpoint {name!r} that was to be kept is gone.", "Run again.", cause=Cause.NOT_FOUND
        )
    endpoint.update(session, found, lease.on(found.tags), found.traffic)
    until = None if lease.expires == FOREVER else lease.expires
    kept = Deletion(endpoint=name, state=EndpointEnd.KEPT, at=datetime.now(UTC), until=until)
    logger().info("Endpoint %s is %s", name, kept)
    return kept


@stage(Stage.DELETE_COMPUTE, retries=5, limit=OPERATION, patience=CLEAN_UP)
def delete_cluster(session: Session, name: str, lease: Lease) -> bool:
    """Delete the cluster if this run created it; one that a job still needs is left to its lease."""
    found = compute.find(session, name)
    if found is None:
        return False
    if not _is_ours(found, lease):
        return False
    needed_by = pipeline.live_on(session, name)
    if needed_by:
        logger().warning("Keeping cluster %s: still used by %s", name, ", ".join(needed_by))
        return False
    compute.remove(session, name, lease.run)
    logger().info("Cluster %s is gone", name)
    return True


def _remove_idle(session: Session, found: Any, lease: Lease) -> None:
    """Delete what this run has deployed to compare with behind an endpoint that is kept, and stays."""
    for each in list(clients.workspace(session).online_deployments.list(found.name)):
        if _is_ours(each, lease) and not (found.traffic or {}).get(each.name):
            deploy.remove(session, found.name, each.name)


def _is_ours(found: Any, lease: Lease) -> bool:
    holder = Lease.read(found.tags)
    return holder is not None and holder.run == lease.run
