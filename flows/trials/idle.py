"""Idle nodes between the runs of a group: each is paid for once, by the run that takes it.

A run by itself counts the idle time that a cluster keeps its nodes for. In a group the next run takes them:
what lies between is the next run's, so that the runs together have cost what the cluster did.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from tasks.job.meter import Meter


@dataclass(frozen=True)
class _Left:
    """The nodes that a run has left: counted up to `since`, and given up at `until` unless they are taken."""

    since: datetime
    until: datetime


@dataclass
class IdleNodes:
    """What the runs of a group leave to each other, by the cluster."""

    _lock: Lock = field(default_factory=Lock)
    _left: defaultdict[str, deque[_Left]] = field(default_factory=lambda: defaultdict(deque))

    def leave(self, meter: Meter, since: datetime) -> None:
        """Note that a run has counted its nodes up to that time, and another one may take them."""
        if meter.ended is None:
            return
        left = _Left(since, meter.ended + timedelta(seconds=meter.idle_seconds))
        with self._lock:
            self._left[meter.cluster.name].append(left)

    def take(self, meter: Meter) -> float:
        """The dollars of the nodes that were left longest, until the run of this meter began or they went."""
        if meter.begun is None:
            return 0.0
        with self._lock:
            waiting = self._left[meter.cluster.name]
            left = waiting.popleft() if waiting else None
        if left is None:
            return 0.0
        seconds = (min(meter.begun, left.until) - left.since).total_seconds()
        return max(seconds, 0.0) / 3600 * meter.cluster.hourly
