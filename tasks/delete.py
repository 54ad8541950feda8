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
from tasks.core.lease import FOREVER, Lease, is_held_by
from tasks.core.limit import OPERATION
from tasks.core.outage import CLEAN_UP
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.endpoint import Change
from tasks.job import attempts
from tasks.removal import Removal
from tasks.use import Use, of_endpoint


class EndpointEnd(StrEnum):
    DELETED = "deleted"  # seen to be gone
    KEPT = "kept"  # on purpose, under a lease of its own
    RELEASED = "released"  # owned by another run by the time this one ended


class Deletion(BaseModel):
    """What became of the endpoint, seen `at` that time; `removal` is when it was deleted, if this run did it.

    `until` is when the lease of a kept one ends, None for never, and `use` how it is asked; `owner` is the
    flow run that has a released one, None where that is not known.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: str
    state: EndpointEnd
    at: datetime
    until: datetime | None = None
    use: Use | None = None
    owner: str | None = None
    removal: Removal | None = None

    def __str__(self) -> str:
        if self.state is EndpointEnd.DELETED:
            return f"deleted (404 at {self.at.isoformat(timespec='seconds')})"
        if self.state is EndpointEnd.KEPT:
            return f"kept until {self.until.isoformat(timespec='seconds')}" if self.until else "kept for ever"
        return f"not deleted: now owned by {f'flow run {self.owner}' if self.owner else 'somebody else'}"

    def serves(self, now: datetime) -> bool:
        """Whether the endpoint is up on purpose, under a lease that has not ended."""
        return self.state is EndpointEnd.KEPT and (self.until is None or self.until > now)


# Refused for as long as the endpoint is busy, and then as long as the deletion takes.
@stage(Stage.DELETE, retries=5, limit=2 * OPERATION, patience=CLEAN_UP)
def delete_endpoint(session: Session, name: str, lease: Lease) -> Deletion:
    """Delete the endpoint with all its deployments, and see it gone; so any other that the run holds.

    One that another run of the same job has taken over meanwhile, or keeps on purpose, is left to that run.
    """
    deletion = _delete_endpoint(session, name, lease)
    for other in endpoint.of_run(session, lease.run):
        logger().info("Deleting %s, which this run holds as well", other)
        endpoint.remove(session, other, lease.run)
    return deletion


def _delete_endpoint(session: Session, name: str, lease: Lease) -> Deletion:
    found, removal = endpoint.find(session, name), None
    if found is not None and is_held_by(found.tags, lease.run):
        removal = endpoint.remove(session, name, lease.run)
        found = endpoint.find(session, name)
    now = datetime.now(UTC)
    if found is not None:
        holder = Lease.read(found.tags)
        if holder is not None and holder.is_kept():
            _remove_idle(session, found, lease)
        owner = holder.run if holder else None
        released = Deletion(endpoint=name, state=EndpointEnd.RELEASED, at=now, owner=owner, removal=removal)
        logger().warning("Endpoint %s is %s", name, released)
        return released
    logger().info("Endpoint %s is gone", name)
    return Deletion(endpoint=name, state=EndpointEnd.DELETED, at=now, removal=removal)


@stage(Stage.KEEP, limit=OPERATION, patience=CLEAN_UP)
def keep_endpoint(session: Session, name: str, lease: Lease, place: tuple[str, ...] = ()) -> Deletion:
    """Leave the endpoint up on purpose, with a lease that says until when.

    `place` are the options by which commands find its workspace.

    Where another run has promised to keep it for longer, that promise stands.
    """

    def kept(found: Any) -> Change:
        held = Lease.read(found.tags)
        is_longer = held is not None and held.is_kept() and held.expires >= lease.expires
        return Change.of(found, None if is_longer else lease.on(found.tags))

    found = endpoint.change(session, name, kept)
    if found is None:
        raise Failure(
            f"The endpoint {name!r} that was to be kept is gone.", "Run again.", cause=Cause.NOT_FOUND
        )
    held = Lease.read(found.tags) or lease
    until = None if held.expires == FOREVER else held.expires
    asked = of_endpoint(session, name, place)
    now = datetime.now(UTC)
    deletion = Deletion(endpoint=name, state=EndpointEnd.KEPT, at=now, until=until, use=asked)
    logger().info("Endpoint %s is %s", name, deletion)
    return deletion


@stage(Stage.DELETE_COMPUTE, retries=5, limit=OPERATION, patience=CLEAN_UP)
def delete_cluster(session: Session, name: str, lease: Lease) -> Removal | None:
    """Delete the cluster if this run holds it, and no job needs it, whosever that is; None where it stays.

    One that a job of another run needs is left to that run.
    """
    found = compute.find(session, name)
    if found is None or not is_held_by(found.tags, lease.run):
        return None
    needed_by = attempts.live_on(session, name)
    if needed_by:
        logger().warning(
            "Keeping cluster %s: still used by %s", name, ", ".join(job.name for job in needed_by)
        )
        theirs = (held for job in needed_by if (held := Lease.read(job.tags)) and held.run != lease.run)
        if (heir := next(theirs, None)) is not None:
            compute.hold(session, found, heir)
        return None
    found = compute.find(session, name)  # the jobs of a workspace may be many, and their list long
    if found is None or not is_held_by(found.tags, lease.run):
        return None
    removal = compute.remove(session, name, lease.run)
    logger().info("Cluster %s is gone", name)
    return removal


def _remove_idle(session: Session, found: Any, lease: Lease) -> None:
    """Delete what this run has deployed to compare with behind an endpoint that is kept, and stays."""
    for each in list(clients.workspace(session).online_deployments.list(found.name)):
        if is_held_by(each.tags, lease.run) and not (found.traffic or {}).get(each.name):
            deploy.remove(session, found.name, each.name)
