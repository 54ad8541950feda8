"""The nodes of compute clusters: how many may run at once, and what each costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution.control import Control, Signal
from azureml_local.execution.duration import seconds
from azureml_local.execution.graph import SERVERLESS, Target
from azureml_local.state import sizes
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import CLUSTERS, cluster_settings
from azureml_local.state.ledger import Billed
from azureml_local.state.workspace import WorkspaceState

_SERVERLESS_SIZE = "Standard_DS3_v2"  # where a job names none; assumed: Azure chooses one by the quota
_LOOK_AGAIN = 0.2  # seconds between looks at a cluster whose limit may have been raised
_BOOT = 4.0  # seconds that a node takes to be up at the pace `real`; minutes on Azure
_FOREVER = 1e10  # seconds; a node that the cluster keeps


@dataclass(frozen=True)
class Cluster:
    """`min_nodes` are always up; `max_nodes` is None without a limit; `hourly_price` of a node in dollars."""

    name: str
    vm_size: str
    hourly_price: float
    min_nodes: int
    max_nodes: int | None
    idle_seconds: float
    priority: str
    has_identity: bool


class Clusters:
    """Lends nodes to steps and bills each in the ledger.

    A node that is given back stays up for the cluster's idle time, unless it is taken again or the cluster is
    deleted; at the pace `real` it boots before it can be used. All of it is billed, as on Azure.
    """

    def __init__(self, state: WorkspaceState) -> None:
        self._store = state.store
        self._ledger = state.ledger
        self._clock = state.clock
        self._boot = _BOOT if state.settings.pace == "real" else 0.0
        self._changed = threading.Condition()
        self._lent: dict[str, int] = {}

    def find(self, target: Target) -> Cluster:
        """The cluster of that name, or one as the service brings it along; raises BadRequest."""
        name = target.cluster
        if name is None:
            size = sizes.lookup(target.vm_size or _SERVERLESS_SIZE)
            # Its jobs come with their submitter's identity (documented: how-to-use-serverless-compute).
            return Cluster(SERVERLESS, size.name, size.hourly_price(), 0, None, 0.0, "Dedicated", True)
        document = self._store.get(CLUSTERS, name)
        if document is None:
            raise BadRequest(
                f"The compute target '{name}' does not exist in the workspace; create it, or use another.",
                code="ComputeNotFound",
                target="computeId",
            )
        settings = cluster_settings(document)
        size = sizes.lookup(settings["vmSize"])
        scale = settings["scaleSettings"]
        return Cluster(
            name=document["name"],
            vm_size=size.name,
            hourly_price=size.hourly_price(settings["vmPriority"]),
            min_nodes=scale["minNodeCount"],
            max_nodes=scale["maxNodeCount"],
            idle_seconds=seconds(scale["nodeIdleTimeBeforeScaleDown"]) or 0.0,
            priority=settings["vmPriority"],
            has_identity=bool(document["identity"]),
        )

    def check(self, target: Target) -> None:
        """Raise ServiceError when the cluster under a running step is being deleted or gone.

        The job fails with these words (seen: MachineLearningNotebooks issue 906, a cluster that was no more).
        That it does so as soon as the deletion has begun is assumed.
        """
        if target.cluster is None:
            return
        if self._is_going(name := target.cluster):
            raise ServiceError(400, "UserError", f"AzureMLCompute cluster {name} does not exist")

    @contextmanager
    def nodes(
        self, target: Target, count: int, owner: str, control: Control, held: Sequence[str] = ()
    ) -> Iterator[list[str]]:
        """Wait for `count` nodes, up and running, and hold them; gives the ids of their ledger rows.

        `held` are rows that a previous server lent for the same step. Raises Interrupted when `control` says
        so, BadRequest when the cluster can never have that many nodes.
        """
        cluster = self.find(target)
        if cluster.max_nodes is not None and count > cluster.max_nodes:
            raise BadRequest(
                f"The job asks for {count} nodes, and '{cluster.name}' has at most {cluster.max_nodes}.",
                code="JobNodeCountExceedsCoreQuota",
            )
        with self._changed:
            while not held and not self._has_room(self.find(target), count):
                self._changed.wait(_LOOK_AGAIN)
                control.check()
            self._lent[cluster.name] = self._lent.get(cluster.name, 0) + count
            rows = list(held) or self._take(cluster, count, owner)
        try:
            # No longer than a node takes: the clock may have been set back since one was there.
            within = self._clock.timestamp() + self._boot
            control.pause_until(min(self._ready(rows), within), self._clock)
            yield rows
        finally:
            # A server that stops leaves the node running: the next one goes on with it.
            with self._changed:
                self._lent[cluster.name] -= count
                if control.signal is not Signal.DETACH:
                    for row in rows:
                        self._give_back(cluster, row)
                self._changed.notify_all()

    def scale(self, name: str) -> None:
        """Let the cluster have the nodes that it keeps: its least number, and none when it goes."""
        with self._changed:
            up = self._ledger.running("node", name)
            if self._is_going(name):
                for row in up:
                    if row.idle:
                        self._ledger.stop(row.id)
                return
            cluster = self.find(Target(name))
            for _ in range(cluster.min_nodes - len(up)):
                self._ledger.stop(self._allocate(cluster, cluster.name, uses=0), after=_FOREVER)
            kept = max(cluster.min_nodes - sum(not row.idle for row in up), 0)
            for row in [row for row in up if row.idle][kept:]:
                self._ledger.stop(row.id, after=cluster.idle_seconds)

    def live(self, name: str) -> Json:
        """What the service shows of the cluster's nodes: how many there are, and what they are doing.

        The fields were seen in recorded traffic; that a booting node counts as current is assumed.
        """
        rows = self._ledger.latest("node", name)
        up = [row for row in rows if row.running]
        preparing = sum(row.preparing for row in up)
        idle = sum(row.idle and not row.preparing for row in up)
        states = ("preparing", "running", "idle", "unusable", "leaving", "preempted")
        counts = {"preparing": preparing, "idle": idle, "running": len(up) - preparing - idle}
        changed = max((row.changed for row in rows), default=None)
        return {
            "currentNodeCount": len(up),
            "targetNodeCount": len(up),
            "nodeStateCounts": {f"{state}NodeCount": counts.get(state, 0) for state in states},
            "allocationState": "Resizing" if preparing else "Steady",
            "allocationStateTransitionTime": iso(datetime.fromtimestamp(changed, UTC)) if changed else None,
        }

    def stop_all_but(self, held: set[str]) -> None:
        """Give back the nodes that a previous server lent and no step holds any more."""
        for row in self._ledger.rows():
            if row.kind == "node" and row.running and not row.idle and row.id not in held:
                self._ledger.stop(row.id)

    def _has_room(self, cluster: Cluster, count: int) -> bool:
        return cluster.max_nodes is None or self._lent.get(cluster.name, 0) + count <= cluster.max_nodes

    def _take(self, cluster: Cluster, count: int, owner: str) -> list[str]:
        """The ids of the rows of so many nodes: those that are up and idle, and new ones."""
        idle = [row.id for row in self._ledger.running("node", cluster.name) if row.idle][:count]
        for row in idle:
            self._ledger.take(row)
        return idle + [self._allocate(cluster, owner) for _ in range(count - len(idle))]

    def _allocate(self, cluster: Cluster, owner: str, *, uses: int = 1) -> str:
        billed = Billed(
            kind="node",
            name=cluster.name,
            vm_size=cluster.vm_size,
            hourly_price=cluster.hourly_price,
            owner=owner,
        )
        return self._ledger.start(billed, boot=self._boot, uses=uses)

    def _ready(self, rows: Sequence[str]) -> float:
        found = (self._ledger.row(each) for each in rows)
        return max((row.ready for row in found if row is not None), default=0.0)

    def _give_back(self, cluster: Cluster, row: str) -> None:
        up = self._ledger.running("node", cluster.name)
        others = sum(other.id != row for other in up)
        going = self._is_going(cluster.name)
        kept = not going and others < cluster.min_nodes
        self._ledger.stop(row, after=0.0 if going else _FOREVER if kept else cluster.idle_seconds)

    def _is_going(self, name: str) -> bool:
        document = self._store.get(CLUSTERS, name)
        return document is None or document["properties"]["provisioningState"] == "Deleting"
