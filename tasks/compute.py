"""The compute: a cluster that the model may be fine-tuned on, found or created."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import cluster_identity, quota, removal
from tasks.azure import clients, operation, sizes
from tasks.azure.clients import Session
from tasks.azure.errors import explain, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.azure.operation import Billed
from tasks.core.lease import Lease, unless_recreated
from tasks.core.limit import OPERATION
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.model_version import BaseModelVersion, check_training_size
from tasks.quota import Tier
from tasks.removal import Removal
from tasks.sections.compute import Compute as Compute


class Cluster(BaseModel):
    """The cluster of the training step; `price` in dollars an hour and node."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: str
    gpus: int
    nodes: int
    price: float
    created: bool

    @property
    def hourly(self) -> float:
        """Dollars an hour of the nodes that train."""
        return self.price * self.nodes


@stage(Stage.COMPUTE, limit=OPERATION)
def find_compute(session: Session, compute: Compute, base: BaseModelVersion, lease: Lease) -> Cluster:
    """Get the training cluster or create it, and check that the model can be fine-tuned there.

    Raises Failure when the cluster is missing and must not be created, is broken, or of an unsuited size.
    """
    if compute.is_serverless:
        return _serverless(session, compute, base)
    found, created = ensure(session, compute, base, lease)
    cluster = check_cluster(session, found, compute, base).model_copy(update={"created": created})
    if not created:
        size = sizes.find(session, cluster.size)
        quota.check(session, quota.training(size, compute.nodes, _tier(found), exists=True))
    logger().info("Cluster %s: %s with %d GPUs a node", cluster.name, cluster.size, cluster.gpus)
    return cluster


def check_cluster(session: Session, found: Any, compute: Compute, base: BaseModelVersion) -> Cluster:
    """The SDK's cluster as it will be used; raises Failure for one that the model cannot be trained on."""
    state = operation.state(found).casefold()
    if state in ("failed", "canceled"):
        raise Failure(
            f"The cluster {found.name!r} is in the state {state}.",
            "See its page in the studio; delete it, or name another one in compute.name.",
            str(getattr(found, "provisioning_errors", "") or ""),
            cause=Cause.COMPUTE,
        )
    if not getattr(found, "size", None):
        raise Failure(
            f"{found.name!r} is a compute of type {found.type}, not a cluster.",
            "Name an AmlCompute cluster in compute.name.",
            cause=Cause.COMPUTE,
        )
    cluster_identity.check_found(session, found)
    for name in compute.others:
        if (other := find(session, name)) is not None:
            cluster_identity.check_found(session, other)
    size = sizes.find(session, found.size)
    check_training_size(size, base)
    if found.max_instances is not None and found.max_instances < compute.nodes:
        raise Failure(
            f"The cluster {found.name!r} has {found.max_instances} nodes at most, not {compute.nodes}.",
            "Lower compute.nodes, or let the cluster grow.",
            cause=Cause.COMPUTE,
        )
    return Cluster(
        name=found.name,
        size=size.name,
        gpus=size.gpus,
        nodes=compute.nodes,
        price=size.hourly(_tier(found)),
        created=False,
    )


def _serverless(session: Session, compute: Compute, base: BaseModelVersion) -> Cluster:
    """The machines that the service will bring along: there is nothing to find, to create or to delete."""
    size = sizes.find(session, compute.size)
    check_training_size(size, base)
    quota.check(session, quota.training(size, compute.nodes, "dedicated", exists=False))
    logger().info("Serverless compute: %s with %d GPUs a node", size.name, size.gpus)
    return Cluster(
        name=compute.training,
        size=size.name,
        gpus=size.gpus,
        nodes=compute.nodes,
        price=size.hourly(),
        created=False,
    )


def find(session: Session, name: str) -> Any:
    """The SDK's cluster, or None."""
    return unless_missing(lambda: clients.workspace(session).compute.get(name))


def remove(session: Session, name: str, run: str | None) -> Removal:
    """Delete the cluster that the run holds, and return when it is seen to be gone, or created again."""
    return removal.remove(
        session,
        lambda: clients.workspace(session).compute.begin_delete(name),
        lambda: unless_recreated(find(session, name), run),
        _billed(session, name),
    )


def ensure(session: Session, compute: Compute, base: BaseModelVersion, lease: Lease) -> tuple[Any, bool]:
    """The SDK's cluster, held by the lease's run if it is one of ours, and whether it had to be created."""
    found = _standing(session, compute.training)
    if found is not None and (held := hold(session, found, lease)) is not None:
        return held, False
    # Before there is anything to pay for.
    size = sizes.find(session, compute.size)
    check_training_size(size, base)
    cluster_identity.check_wanted(session, compute)
    quota.check(session, quota.training(size, compute.nodes, compute.tier, exists=False))
    return _create(session, compute, lease), True


def hold(session: Session, found: Any, lease: Lease) -> Any:
    """Put a cluster of ours under the lease's run; None when it is gone by then.

    The run that held it so far leaves it. One that is kept on purpose, or is not ours, stays as it is.
    """
    held = Lease.read(found.tags)
    if held is None or held.is_kept() or (held.run == lease.run and lease.is_covered_by(held)):
        return found
    if operation.state(found).casefold() in ("creating", "updating"):
        found = operation.settled(lambda: find(session, found.name))
        if found is None:
            return None
    found.tags = lease.priced(held.hourly).over(held).on(found.tags or {})
    try:
        poller = clients.workspace(session).compute.begin_update(found)
        return operation.settled(lambda: find(session, found.name), poller)
    except Exception as error:  # noqa: BLE001 - the cluster can be used all the same
        logger().warning(
            "The lease of the cluster %s cannot be renewed, it ends at %s: %s",
            found.name,
            held.expires.isoformat(timespec="minutes"),
            explain(error),
        )
        return found


def _tier(found: Any) -> Tier:
    """The tier of the SDK's cluster, as the section of the configuration has it."""
    low = str(found.tier or "").casefold().replace("_", "") == "lowpriority"
    return "low_priority" if low else "dedicated"


def _standing(session: Session, name: str) -> Any:
    """The SDK's cluster, or None; one that is being deleted is waited for, so that it can be made again."""
    found = find(session, name)
    if found is None or operation.state(found).casefold() != "deleting":
        return found
    _until_gone(session, name, holder.run if (holder := Lease.read(found.tags)) else None)
    return find(session, name)


def _until_gone(session: Session, name: str, run: str | None) -> None:
    """Poll until the run's cluster is gone, also where another run's of the same name is there instead."""
    operation.gone(lambda: unless_recreated(find(session, name), run), _billed(session, name))


def _billed(session: Session, name: str) -> Billed:
    def price() -> str:
        found = find(session, name)
        return f"${sizes.find(session, found.size).hourly(found.tier):.2f} an hour a node"

    return Billed(f"cluster {name}", f"az ml compute delete -n {name}", price)


def _create(session: Session, compute: Compute, lease: Lease) -> Any:
    from azure.ai.ml.entities import AmlCompute

    if not compute.create:
        raise Failure(
            f"The cluster {compute.training!r} does not exist.",
            "Create it, set compute.create, or name another one in compute.name.",
            cause=Cause.NOT_FOUND,
        )
    report(f"creating {compute.training} ({compute.size})")
    logger().info("Creating cluster %s of %s", compute.training, compute.size)
    hourly = sizes.find(session, compute.size).hourly(compute.tier) * compute.min_nodes
    if compute.keep:
        lease = lease.extended(None)
    cluster = AmlCompute(
        name=compute.training,
        size=compute.size,
        min_instances=compute.min_nodes,
        max_instances=compute.max_nodes,
        idle_time_before_scale_down=compute.idle_seconds,
        tier=compute.tier,
        identity=cluster_identity.configuration(compute),
        tags=lease.priced(hourly).tags(),
    )
    poller = clients.workspace(session).compute.begin_create_or_update(cluster)
    made = operation.settled(lambda: find(session, compute.training), poller)
    if made is None:
        raise Failure(
            f"The cluster {compute.training!r} was deleted while it was being made.",
            "Run again.",
            retryable=True,
            cause=Cause.IN_USE,
        )
    return made
