"""Which of many jobs have ended, told from one list."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from tasks.azure import clients, run_history
from tasks.azure.clients import Session
from tasks.core.stage import stage
from tasks.job import pipeline

_LISTED = 1000  # jobs, newest first; live ones are hardly older


@stage("list jobs")
def find_ended(session: Session, jobs: Collection[str]) -> frozenset[str]:
    """Those of the jobs that have ended or no longer exist; asks singly only for what the list lacks."""
    wanted = set(jobs)
    ended = set()
    for job in islice(clients.workspace(session).jobs.list(), _LISTED):
        if job.name in wanted:
            wanted.discard(job.name)
            if clients.state(job.status) in run_history.ENDED:
                ended.add(job.name)
        if not wanted:
            return frozenset(ended)
    for name in wanted:
        found = pipeline.find(session, name)
        if found is None or clients.state(found.status) in run_history.ENDED:
            ended.add(name)
    return frozenset(ended)
