"""The jobs of a plan, named by its fingerprint and the attempt and found by that; and those on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from tasks.azure import clients, job_states, listing
from tasks.azure.clients import Session
from tasks.azure.errors import unless_missing
from tasks.azure.listing import Listed
from tasks.core.lease import is_held_by
from tasks.core.names import job_name

_CLOCKS = timedelta(hours=1)  # by which the times of two services may differ


def names(base: str, fingerprint: str, fresh_for: str | None) -> Callable[[int], str]:
    """The names of a plan's jobs by attempt; `fresh_for` is a run that wants jobs of its own."""
    return lambda attempt: job_name(base, fingerprint, attempt, fresh_for)


def of_run(
    session: Session, named: Callable[[int], str], run: str, since: datetime | None
) -> Iterator[Listed]:
    """The jobs of those names that the run may hold, the last attempt first.

    By their names: a workspace may have thousands of jobs, and to list them takes as long. What was submitted
    before the run was, `since` then, is none of its own unless it says so, nor is anything before that: of a
    job that fails each week there are hundreds of attempts.
    """
    attempt, found = last(session, named)
    while found is not None and (is_held_by(found.tags, run) or not _is_before(found.created, since)):
        yield found
        attempt -= 1
        found = listing.job(session, named(attempt)) if attempt else None


def find(session: Session, name: str) -> Any:
    """The SDK's job, or None."""
    return unless_missing(lambda: clients.workspace(session).jobs.get(name))


def last(session: Session, named: Callable[[int], str]) -> tuple[int, Listed | None]:
    """The number of the last attempt, and its job: 0 and None before the first.

    Jobs are never deleted, so that those there are have the numbers from one on: the last of a thousand is
    found by some twenty looks.
    """
    number, found, beyond = 0, None, 1
    while (job := listing.job(session, named(beyond))) is not None:
        number, found, beyond = beyond, job, 2 * beyond
        if job.state not in job_states.GIVEN_UP:
            return number, found
    while beyond - number > 1:
        middle = (number + beyond) // 2
        job = listing.job(session, named(middle))
        if job is None:
            beyond = middle
        elif job.state not in job_states.GIVEN_UP:
            return middle, job
        else:
            number, found = middle, job
    return number, found


def live_on(session: Session, cluster: str) -> list[Listed]:
    """The jobs that need the cluster, of whatever kind and whosever they are.

    The newest come first, and none is older than the cluster: nobody reads the jobs of years for it.
    """
    found = listing.cluster(session, cluster)
    made = found.created if found else None
    newer = takewhile(lambda job: not _is_before(job.created, made), listing.jobs(session))
    return [job for job in newer if job.is_live and job.needs(cluster)]


def _is_before(job: datetime | None, moment: datetime | None) -> bool:
    return job is not None and moment is not None and job < moment - _CLOCKS
