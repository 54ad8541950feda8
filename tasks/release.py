"""Release: whatever one run still bills is found by its lease and ended, from any process at any time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from tasks import clients, endpoint, history
from tasks.clients import Session
from tasks.lease import Lease
from tasks.stage import logger
from tasks.wait import cancel

RECENT = 200  # jobs looked at, newest first


def release(session: Session, run: str, *, jobs: bool) -> list[str]:
    """Delete the endpoints of a flow run and, if asked, cancel its live jobs; returns what was ended."""
    ended = []
    for name in _endpoints(session, run):
        endpoint.remove(session, name)
        ended.append(f"endpoint {name}")
    if jobs:
        for name in _live_jobs(session, run):
            cancel(session, name)
            ended.append(f"job {name}")
    for what in ended:
        logger().info("Released %s of flow run %s", what, run)
    return ended


def _endpoints(session: Session, run: str) -> list[str]:
    found = clients.workspace(session).online_endpoints.list()
    # A kept endpoint outlives its run on purpose.
    return [each.name for each in found if _is_of(each.tags, run) and not Lease.read(each.tags).kept]  # type: ignore[union-attr]


def _live_jobs(session: Session, run: str) -> Iterator[str]:
    found = islice(clients.workspace(session).jobs.list(), RECENT)
    return (
        job.name for job in found if clients.state(job.status) not in history.ENDED and _is_of(job.tags, run)
    )


def _is_of(tags: Any, run: str) -> bool:
    lease = Lease.read(tags)
    return lease is not None and lease.run == run
