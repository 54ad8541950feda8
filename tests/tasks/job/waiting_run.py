"""A run that waits for a job from this moment on: a constant would have waited since it was imported."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.job.wait import Waiter

RUN = "00000000-0000-0000-0000-0000000000c0"


def waiter() -> Waiter:
    return Waiter(run=RUN, since=datetime.now(UTC))
