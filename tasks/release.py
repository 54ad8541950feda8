"""Release: whatever one run still bills is found by its lease and ended, from any process at any time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from tasks import compute, endpoint
from tasks.azure import clients, run_history
from tasks.azure.clients import Session
from tasks.core.lease import Lease
from tasks.core.stage import logger
from tasks.job.pipeline import RECENT
from tasks.job.wait import cancel


def release(session: Session, run: str, *, training: bool) -> list[str]:
    """Delete the endpoints of a flow run; with its `training` its live jobs and its clusters are ended too.

    Returns what was ended.
    """
    client = clients.workspace(session)
    ended = cancel_jobs(session, run) if training else []
    for name in _of_run(client.online_endpoints.list(), run):
        endpoint.remove(session, name, run)
        ended.append(f"endpoint {name}")
    if training:
        for name in _of_run(client.compute.list(), run):
            compute.remove(session, name, run)
            ended.append(f"cluster {name}")
    for what in ended:
        logger().info("Released %s of flow run %s", what, run)
    return ended


def cancel_jobs(session: Session, run: str) -> list[str]:
    """Cancel the live jobs that a flow run has submitted."""
    recent = islice(clients.workspace(session).jobs.list(), RECENT)
    live = [job for job in recent if clients.state(job.status) not in run_history.ENDED]
    names = list(_of_run(live, run))
    for name in names:
        cancel(session, name)
    return [f"job {name}" for name in names]


def _of_run(things: Iterable[Any], run: str) -> Iterator[str]:
    """The names of those that the run made, without what was kept on purpose: that outlives its run."""
    for thing in things:
        lease = Lease.read(thing.tags)
        if lease is not None and lease.run == run and not lease.kept:
            yield thing.name
