"""Core quota: what the subscription may use, what it uses, and the refusal beyond.

A cluster counts at its maximum of nodes, as on Azure, whether they run or not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from azureml_local.errors import BadRequest, QuotaExceeded
from azureml_local.settings import PROVIDER
from azureml_local.state import sizes
from azureml_local.state.documents import (
    CLUSTERS,
    COMPUTE_INSTANCES,
    DEPLOYMENTS,
    QUOTAS,
    ClusterSettings,
    QuotaDocument,
    cluster_settings,
    instance_type,
    instances,
)
from azureml_local.state.sizes import Size
from azureml_local.state.store import Store

Tier = Literal["dedicatedCores", "lowPriorityCores"]

# Families of GPU machines begin with enough for a cluster of a few nodes, the rest with a small allowance.
_FAMILY_LIMIT = {True: 400, False: 100}
_TOTAL_LIMITS = {"TotalClusters": 200, "TotalDedicatedCores": 1200, "TotalLowPriorityCores": 400}
_UNLIMITED = -1  # low-priority cores are bound by their total alone


@dataclass(frozen=True)
class Usage:
    """One row: cores (or clusters) in use and allowed; a `limit` of -1 does not bind."""

    name: str
    localized: str
    type: str
    current: int
    limit: int

    @property
    def left(self) -> float:
        """How much more is allowed."""
        return float("inf") if self.limit == _UNLIMITED else self.limit - self.current


def usages(store: Store, *, without: str | None = None) -> list[Usage]:
    """All rows; `without` leaves one cluster out of the count."""
    used = _used(store, without)
    limits = {name: body["limit"] for name, body in store.list(QUOTAS)}
    totals = [
        Usage(
            name,
            localized,
            f"{PROVIDER}/{name[0].lower()}{name[1:]}/usages",
            used.get((name, ""), 0),
            limits.get(name, _TOTAL_LIMITS[name]),
        )
        for name, localized in (
            ("TotalClusters", "Total Clusters"),
            ("TotalDedicatedCores", "Total Cluster Dedicated Regional vCPUs"),
            ("TotalLowPriorityCores", "Total Cluster Low Priority Regional vCPUs"),
        )
    ]
    return totals + [
        _family(family, tier, used, limits)
        for tier in ("dedicatedCores", "lowPriorityCores")
        for family in sizes.families()
    ]


def set_limit(store: Store, name: str, limit: int) -> None:
    """Allow so many cores of a family, or in all; raises BadRequest for an unknown name."""
    known = {_folded(family): family for family in (*sizes.families(), *_TOTAL_LIMITS)}
    if _folded(name) not in known:
        raise BadRequest(f"There is no quota named {name!r}.", target="name")
    document: QuotaDocument = {"limit": limit}
    store.put(QUOTAS, known[_folded(name)], document)


def check_cluster(store: Store, name: str, cluster: ClusterSettings) -> None:
    """Raise QuotaExceeded where the family's limit holds no node, or the cluster does not fit at its maximum.

    The first is as users report it, of dedicated clusters also with a minimum of no nodes: a low-priority
    cluster is created whatever the quota. The second is assumed.
    """
    size = sizes.lookup(cluster["vmSize"])
    scale = cluster["scaleSettings"]
    rows = usages(store, without=name)
    if cluster["vmPriority"] != "LowPriority":
        _check_one_node(rows, size, max(scale["minNodeCount"], 1))
        _check(rows, size, "dedicatedCores", size.vcpus * scale["maxNodeCount"], f"The cluster {name}")
    clusters = next(row for row in rows if row.name == "TotalClusters")
    if clusters.left < 1:
        raise QuotaExceeded(
            f"The subscription has its limit of {clusters.limit} clusters; delete one.",
            code="ClusterCoreQuotaReached",
        )


@dataclass(frozen=True)
class Shortage:
    """Cores in use, those allowed, and those that were asked for besides."""

    used: int
    limit: int
    needed: int


def deployment_shortage(store: Store, name: str, vm_size: str, count: int) -> Shortage | None:
    """What the deployment lacks, with the fifth that Azure reserves for upgrades; None when it fits."""
    size = sizes.lookup(vm_size)
    cores = size.vcpus * _reserved(size, count)
    for row in usages(store, without=name):
        if _binds(row, size, "dedicatedCores") and cores > row.left:
            return Shortage(row.current, row.limit, cores)
    return None


def _check_one_node(rows: list[Usage], size: Size, nodes: int) -> None:
    family = next(row for row in rows if row.name == size.family and "dedicatedCores" in row.type)
    if family.limit < size.vcpus * nodes:
        raise QuotaExceeded(
            f"The specified subscription has a {_shown(size.family)} family vCPU quota of {family.limit} and "
            f"cannot accomodate for at least {nodes} requested managed compute nodes which maps to "
            f"{size.vcpus * nodes} vCPUs.",
            code="ClusterMinNodesExceedCoreQuota",
        )


def _check(rows: list[Usage], size: Size, tier: Tier, cores: int, who: str) -> None:
    for row in rows:
        if _binds(row, size, tier) and cores > row.left:
            raise QuotaExceeded(
                f"Not enough quota available for {size.name}. {who} needs {cores} cores; "
                f"{row.localized}: current usage {row.current}, limit {row.limit}. Ask for more quota, or "
                "use fewer nodes or a smaller size.",
                code="ClusterCoreQuotaReached",
            )


def _binds(row: Usage, size: Size, tier: Tier) -> bool:
    """Whether the row limits machines of that size and tier."""
    total = "TotalLowPriorityCores" if tier == "lowPriorityCores" else "TotalDedicatedCores"
    return row.name == total or (row.name == size.family and tier in row.type)


def _reserved(size: Size, count: int) -> int:
    """The instances that count, with the fifth that Azure reserves for upgrades."""
    return count if _exempt(size) else -(-count * 6 // 5)


def _exempt(size: Size) -> bool:
    """Azure asks no upgrade reserve for the scarce A100 and H100 families and ND40rs_v2 (documented)."""
    scarce = any(name in size.family.upper() for name in ("A100", "H100"))
    return scarce or size.name == "Standard_ND40rs_v2"


def _family(family: str, tier: Tier, used: dict[tuple[str, str], int], limits: dict[str, int]) -> Usage:
    gpus = any(size.gpus for size in sizes.SIZES if size.family == family)
    shown = "Dedicated" if tier == "dedicatedCores" else "LowPriority"
    limit = limits.get(family, _FAMILY_LIMIT[gpus]) if tier == "dedicatedCores" else _UNLIMITED
    return Usage(
        family,
        f"{_shown(family)} Family Cluster {shown} vCPUs",
        f"{PROVIDER}/vmFamily/{tier}/usages",
        used.get((family, tier), 0),
        limit,
    )


def _shown(family: str) -> str:
    """A family as its quota is called (seen): "Standard NCADSA100v4" for standardNCADSA100v4Family."""
    core = re.sub(r"^standard\s*|\s*family$", "", family, flags=re.IGNORECASE)
    return f"Standard {core}"


def _folded(name: str) -> str:
    """Ids of families carry underscores where their names have spaces."""
    return name.casefold().replace(" ", "_")


def _used(store: Store, without: str | None) -> dict[tuple[str, str], int]:
    """Cores by (family, tier), and totals by (name, "")."""
    used: dict[tuple[str, str], int] = {}

    def add(key: tuple[str, str], count: int) -> None:
        used[key] = used.get(key, 0) + count

    for name, document in store.list(CLUSTERS):
        if without is not None and name.casefold() == without.casefold():
            continue
        cluster = cluster_settings(document)
        size = sizes.lookup(cluster["vmSize"])
        cores = size.vcpus * cluster["scaleSettings"]["maxNodeCount"]
        low = cluster["vmPriority"] == "LowPriority"
        add(("TotalClusters", ""), 1)
        add(("TotalLowPriorityCores" if low else "TotalDedicatedCores", ""), cores)
        add((size.family, "lowPriorityCores" if low else "dedicatedCores"), cores)
    for _, instance in store.list(COMPUTE_INSTANCES):  # each counts, also one that is stopped (documented)
        size = sizes.lookup(instance["properties"]["properties"]["vmSize"])
        add(("TotalDedicatedCores", ""), size.vcpus)
        add((size.family, "dedicatedCores"), size.vcpus)
    for name, deployment in store.list(DEPLOYMENTS):
        if without is not None and name.casefold() == without.casefold():
            continue
        size = sizes.lookup(instance_type(deployment))
        count = instances(deployment)
        cores = size.vcpus * _reserved(size, count)
        add(("TotalDedicatedCores", ""), cores)
        add((size.family, "dedicatedCores"), cores)
    return used
