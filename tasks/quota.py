"""Core quota: what a run needs of it, and what the subscription has left; every number in vCPUs.

Families of machines with GPUs begin with a limit of zero in a new subscription, and low-priority nodes share
one limit of their own (learn.microsoft.com/azure/machine-learning/how-to-manage-quotas).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Literal

from azure.core.exceptions import HttpResponseError
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.azure.sizes import Size
from tasks.core.log import logger

Tier = Literal["dedicated", "low_priority"]

_UNBOUND = -1
_TOTALS = {"dedicated": "totaldedicatedcores", "low_priority": "totallowprioritycores"}
_TYPES = {"/dedicatedcores/": "dedicated", "/lowprioritycores/": "low_priority"}
# Managed endpoints reserve a fifth more for upgrades, except for these
# (learn.microsoft.com/azure/machine-learning/reference-managed-online-endpoints-vm-sku-list).
_WITHOUT_RESERVE = frozenset(
    f"standard_{name}"
    for name in (
        *("nc24ads_a100_v4", "nc48ads_a100_v4", "nc96ads_a100_v4", "nc40ads_h100_v5", "nc80adis_h100_v5"),
        *("nd96asr_v4", "nd96amsr_a100_v4", "nd96is_h100_v5", "nd96isr_h100_v5", "nd40rs_v2"),
    )
)


class Need(BaseModel):
    """Cores of one family that a run needs at one time.

    `counted` where they are a part of what is used already, as those of a cluster that exists may be.
    """

    model_config = ConfigDict(frozen=True)

    purpose: Literal["training", "serving"]
    size: str
    family: str
    cores: int
    tier: Tier = "dedicated"
    counted: bool = False


class Usage(BaseModel):
    """A row of the subscription's quota; of a limit of -1 only the regional total binds."""

    model_config = ConfigDict(frozen=True)

    name: str
    label: str
    tier: Tier | None
    used: int
    limit: int


class Verdict(StrEnum):
    """What a row of the quota means for a need."""

    FITS = "fits"
    BUSY = "busy"  # it would fit if others used less
    TOO_SMALL = "too small"  # it never fits
    UNKNOWN = "unknown"  # Azure has no such row


class Room(BaseModel):
    """A need beside the row that limits it; `limit` None where there is no such row."""

    model_config = ConfigDict(frozen=True)

    need: Need
    label: str
    used: int
    limit: int | None

    @property
    def left(self) -> int | None:
        """What is not in use; None where no number binds."""
        return None if self.limit in (None, _UNBOUND) else self.limit - self.used

    @property
    def verdict(self) -> Verdict:
        if self.limit is None:
            return Verdict.UNKNOWN
        if self.limit == _UNBOUND:
            return Verdict.FITS
        if self.need.cores > self.limit:
            return Verdict.TOO_SMALL
        busy = not self.need.counted and self.need.cores > self.limit - self.used
        return Verdict.BUSY if busy else Verdict.FITS

    def __str__(self) -> str:
        limit = "no such quota is listed" if self.limit is None else f"{self.used} of {self.limit} are in use"
        return (
            f"{self.need.purpose} on {self.need.size} needs {self.need.cores} cores of {self.label}: {limit}"
        )


def training(size: Size, nodes: int, tier: Tier, *, exists: bool) -> Need:
    """What a cluster's nodes need that train together."""
    return Need(
        purpose="training",
        size=size.name,
        family=size.family,
        cores=size.vcpus * nodes,
        tier=tier,
        counted=exists,
    )


def serving(size: Size, instances: int, deployments: int = 1) -> Need:
    """What deployments need that are up together, each with what Azure reserves for upgrades."""
    reserved = instances if size.name.casefold() in _WITHOUT_RESERVE else -(-instances * 6 // 5)
    return Need(
        purpose="serving", size=size.name, family=size.family, cores=size.vcpus * reserved * deployments
    )


def usages(session: Session) -> tuple[Usage, ...]:
    """The rows of the workspace's region; reading them takes a right on the subscription."""
    path = (
        f"/subscriptions/{session.subscription_id}/providers/Microsoft.MachineLearningServices"
        f"/locations/{session.location}/usages"
    )
    return tuple(parse(row) for row in clients.pages(session, path, "2024-04-01", {}))


def parse(row: dict[str, Any]) -> Usage:
    """A row of the service's answer."""
    name, kind = row.get("name") or {}, f"{row.get('type')}/".casefold()
    tier: Any = next((tier for part, tier in _TYPES.items() if part in kind), None)
    return Usage(
        name=name.get("value", ""),
        label=" ".join((name.get("localizedValue") or name.get("value", "")).split()),
        tier=tier,
        used=row.get("currentValue", 0),
        limit=row.get("limit", 0),
    )


def rooms(needs: Iterable[Need], rows: Sequence[Usage]) -> tuple[Room, ...]:
    """Each need beside the row of its family, and beside that of the region's total."""
    families = {(_folded(row.name), row.tier): row for row in rows if row.tier}
    totals = {_folded(row.name): row for row in rows if not row.tier}
    found = []
    for need in needs:
        label = f"{need.family} ({need.tier.replace('_', ' ')})"
        found.append(_room(need, families.get((_folded(need.family), need.tier)), label))
        total = totals.get(_TOTALS[need.tier])
        if total is not None:
            found.append(_room(need, total, total.label))
    return tuple(found)


def check(session: Session, *needs: Need) -> tuple[Room, ...]:
    """Compare needs with what is left, and return the comparison; empty where it may not be read.

    Raises Failure for what can never fit. What others use at the moment is warned of: it may be free in time.
    """
    try:
        rows = usages(session)
    except HttpResponseError as error:
        if error.status_code != 403:
            raise
        logger().warning("Quota is not checked before the run: %s", explain(error).what)
        return ()
    found = rooms(needs, rows)
    for room in found:
        if room.verdict is Verdict.TOO_SMALL:
            raise Failure(
                f"The quota is too small: {room}.",
                "Ask for more of it in the studio (Quota), or choose a size of another family or fewer "
                "nodes.",
                cause=Cause.QUOTA,
            )
        if room.verdict is not Verdict.FITS:
            logger().warning("Quota: %s", room)
    return found


def _room(need: Need, row: Usage | None, label: str) -> Room:
    if row is None:
        return Room(need=need, label=label, used=0, limit=None)
    return Room(need=need, label=row.label, used=row.used, limit=row.limit)


def _folded(name: str) -> str:
    """Families are written with other capitals and spaces in the list of sizes than in that of quotas."""
    return name.replace(" ", "").casefold()
