"""The workspace's time of day, which a test can move forward."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """UTC now, plus what `advance` has added: tokens and signatures expire by it, bills do not follow it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset = 0.0

    def timestamp(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._offset

    def now(self) -> datetime:
        """The time of day, UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        with self._lock:
            self._offset += seconds


def iso(moment: datetime) -> str:
    """As the service writes times: microseconds and an explicit offset."""
    return moment.isoformat(timespec="microseconds")
