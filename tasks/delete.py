"""The end: what the run made and bills is deleted and seen to be gone, or kept on purpose."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks import compute, deploy, endpoint
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Failure
from tasks.core.lease import PREFIX, Lease
from tasks.core.stage import logger, stage
from tasks.job import pipeline


class Deletion(BaseModel):
    """What became of the endpoint: seen to be gone at a time, kept, or left to whoever owns it now."""

    model_config = ConfigDict(frozen=True)

    endpoint: str
    state: Literal["deleted", "kept", "handed over"]
    at: datetime
    proof: str


@stage("delete", retries=5)
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
        whose = f"flow run {holder.run}" if holder else "somebody else"
        logger().warning("Endpoint %s belongs to %s by now and is left to it", name, whose)
        return Deletion(endpoint=name, state="handed over", at=now, proof=f"it belongs to {whose}")
    logger().info("Endpoint %s is gone", name)
    return Deletion(
        endpoint=name, state="deleted", at=now, proof=f"404 at {now.isoformat(timespec='seconds')}"
    )


@stage("keep")
def keep_endpoint(session: Session, name: str, lease: Lease) -> Deletion:
    """Leave the endpoint up on purpose, with a lease that says until when."""
    found = endpoint.find(session, name)
    if found is None:
        raise Failure(f"The endpoint {name!r} that was to be kept is gone.", "Run again.")
    endpoint.update(session, found, lease.on(found.tags), found.traffic)
    until = lease.tags()[f"{PREFIX}expires"]
    logger().info("Endpoint %s is kept; its lease ends: %s", name, until)
    return Deletion(endpoint=name, state="kept", at=datetime.now(UTC), proof=f"lease ends: {until}")


@stage("delete compute", retries=5)
def delete_cluster(session: Session, name: str, lease: Lease) -> bool:
    """Delete the cluster if this run created it; one that a job still needs is left to its lease."""
    found = compute.find(session, name)
    if found is None:
        return False
    if not _is_ours(found, lease):
        return False
    needed_by = pipeline.live_on(session, name)
    if needed_by:
        logger().warning("Cluster %s stays for what goes on there: %s", name, ", ".join(needed_by))
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
