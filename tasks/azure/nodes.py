"""The nodes of a cluster, looked at once: how many are up, and what they are doing."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import listing, service_clock
from tasks.azure.clients import Session
from tasks.azure.listing import Listed

# As the service and the SDK write it: PT2M, PT120S, P1DT1H.
_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


class ClusterNodes(BaseModel):
    """A cluster's nodes `at` a time of the service's; `changed` is when their number last began to change.

    Of the `current` ones some are `running` jobs and some `idle`; `least` are never given up, the others
    after `idle_seconds`.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    current: int
    running: int
    idle: int
    least: int
    idle_seconds: float
    changed: datetime | None = None


def look(session: Session, cluster: str) -> ClusterNodes | None:
    """The cluster's nodes now; None for a compute that is not there, or that does not tell."""
    return of(listing.cluster(session, cluster))


def of(found: Listed | None) -> ClusterNodes | None:
    """The nodes of a cluster as it was just listed; None for one that does not tell."""
    own = _mapping(found.properties.get("properties")) if found else {}
    current = own.get("currentNodeCount")
    if not isinstance(current, int):
        return None
    counts, scale = _mapping(own.get("nodeStateCounts")), _mapping(own.get("scaleSettings"))
    return ClusterNodes(
        at=service_clock.now(),
        current=current,
        running=int(counts.get("runningNodeCount") or 0),
        idle=int(counts.get("idleNodeCount") or 0),
        least=int(scale.get("minNodeCount") or 0),
        idle_seconds=_seconds(scale.get("nodeIdleTimeBeforeScaleDown")),
        changed=listing.moment(own.get("allocationStateTransitionTime")),
    )


def _seconds(text: Any) -> float:
    match = _DURATION.fullmatch(str(text or ""))
    if match is None:
        return 0.0
    days, hours, minutes, seconds = (float(value or 0) for value in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
