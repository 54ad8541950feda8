"""The workspace's time of day, which a test can move forward and let go faster."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """UTC now, plus what `advance` and `go` have added.

    Jobs and bills go by it, tokens and signatures expire by it, and at the pace `real` nodes and containers
    start by it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.restart()

    def restart(self) -> None:
        """Show the real time again, at its speed."""
        with self._lock:
            self._speed = 1.0
            self._real = self._shown = time.time()  # the moment since which it goes at that speed

    def timestamp(self) -> float:
        """Seconds since the epoch."""
        with self._lock:
            return self._now()

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        with self._lock:
            self._shown += seconds

    def go(self, speed: float) -> None:
        """Let so many seconds pass in each second from now on."""
        with self._lock:
            self._shown, self._real = self._now(), time.time()
            self._speed = speed

    def _now(self) -> float:
        return self._shown + (time.time() - self._real) * self._speed


def iso(moment: datetime) -> str:
    """As the service writes times: microseconds and an explicit offset."""
    return moment.isoformat(timespec="microseconds")
