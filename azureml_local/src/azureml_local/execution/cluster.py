"""The nodes of compute clusters: how many may run at once, and what each costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution.control import Control, Signal
from azureml_local.execution.duration import seconds
from azureml_local.execution.graph import SERVERLESS, Target
from azureml_local.settings import Pace
from azureml_local.state import sizes
from azureml_local.state.documents import CLUSTERS, cluster_settings
from azureml_local.state.ledger import Billed, Ledger
from azureml_local.state.store import Store

_SERVERLESS_SIZE = "Standard_DS3_v2"  # where a job names none; assumed: Azure chooses one by the quota
_LOOK_AGAIN = 0.2  # seconds between looks at a cluster whose limit may have been raised


@dataclass(frozen=True)
class Cluster:
    """`max_nodes` None where there is no limit; `hourly_price` of one node in dollars."""

    name: str
    vm_size: str
    hourly_price: float
    max_nodes: int | None
    idle_seconds: float
    priority: str
    has_identity: bool


class Clusters:
    """Lends nodes to steps and bills each in the ledger.

    A node that is given back stays up for the cluster's idle time, and is billed for it, at the pace `real`.
    """

    def __init__(self, store: Store, ledger: Ledger, pace: Pace) -> None:
        self._store = store
        self._ledger = ledger
        self._keeps_idle = pace == "real"
        self._changed = threading.Condition()
        self._lent: dict[str, int] = {}
        self._idle: dict[str, dict[str, threading.Timer]] = {}

    def find(self, target: Target) -> Cluster:
        """The cluster of that name, or one as the service brings it along; raises BadRequest."""
        name = target.cluster
        if name is None:
            size = sizes.lookup(target.vm_size or _SERVERLESS_SIZE)
            # Its jobs come with their submitter's identity (documented: how-to-use-serverless-compute).
            return Cluster(SERVERLESS, size.name, size.hourly_price(), None, 0.0, "Dedicated", True)
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
        document = self._store.get(CLUSTERS, name := target.cluster)
        if document is None or document["properties"]["provisioningState"] == "Deleting":
            raise ServiceError(400, "UserError", f"AzureMLCompute cluster {name} does not exist")

    @contextmanager
    def nodes(
        self, target: Target, count: int, owner: str, control: Control, held: Sequence[str] = ()
    ) -> Iterator[list[str]]:
        """Wait for `count` nodes and hold them; gives the ids of their ledger rows.

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
            rows = list(held) or [self._take(cluster, owner) for _ in range(count)]
        try:
            yield rows
        finally:
            # A server that stops leaves the node running: the next one goes on with it.
            with self._changed:
                self._lent[cluster.name] -= count
                if control.signal is not Signal.DETACH:
                    for row in rows:
                        self._give_back(cluster, row)
                self._changed.notify_all()

    def stop_all_but(self, held: set[str]) -> None:
        """End the rows of nodes that a previous server left behind and no step holds any more."""
        for row in self._ledger.rows():
            if row.kind == "node" and row.running and row.id not in held:
                self._ledger.stop(row.id)

    def _has_room(self, cluster: Cluster, count: int) -> bool:
        return cluster.max_nodes is None or self._lent.get(cluster.name, 0) + count <= cluster.max_nodes

    def _take(self, cluster: Cluster, owner: str) -> str:
        idle = self._idle.get(cluster.name)
        if idle:
            row, timer = idle.popitem()
            timer.cancel()
            return row
        return self._ledger.start(
            Billed(
                kind="node",
                name=cluster.name,
                vm_size=cluster.vm_size,
                hourly_price=cluster.hourly_price,
                owner=owner,
            )
        )

    def _give_back(self, cluster: Cluster, row: str) -> None:
        if not self._keeps_idle or cluster.idle_seconds <= 0:
            self._ledger.stop(row)
            return
        timer = threading.Timer(cluster.idle_seconds, self._scale_down, [cluster.name, row])
        timer.daemon = True
        self._idle.setdefault(cluster.name, {})[row] = timer
        timer.start()

    def _scale_down(self, cluster: str, row: str) -> None:
        with self._changed:
            if self._idle.get(cluster, {}).pop(row, None) is not None:
                self._ledger.stop(row)
