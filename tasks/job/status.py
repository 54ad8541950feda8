"""Jobs looked at once: how one is doing, and which of many have ended."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from tasks import leased
from tasks.azure import job_states, listing, nodes, run_history, service_clock
from tasks.azure.clients import Session
from tasks.compute import Cluster
from tasks.core.lease import RUN
from tasks.core.stage import stage
from tasks.core.stages import Stage
from tasks.job import durations
from tasks.job.meter import Meter
from tasks.job.pipeline import Submission
from tasks.job.wait import Wait, Waiter
from tasks.leased import Leased
from tasks.sections.compute import Compute


class JobStatus(BaseModel):
    """Whether the job has ended, and the earliest moment at which it may reach its time-out or its budget.

    The moment is by the machine's own clock.
    """

    model_config = ConfigDict(frozen=True)

    ended: bool
    limit: datetime


@stage(Stage.LOOK)
def look_at_job(session: Session, job: Submission, cluster: Cluster, wait: Wait, waiter: Waiter) -> JobStatus:
    """Look at the job once."""
    status, now = listing.submitted(session, job.name).state, datetime.now(UTC)
    begun = waiter.since if job.reused else service_clock.here(durations.aware(job.created or now))
    limit = durations.aware(begun) + timedelta(hours=wait.timeout_hours)
    if wait.budget_usd is not None and cluster.hourly > 0:
        left = wait.budget_usd - _spent(session, job.name, cluster)
        limit = min(limit, now + timedelta(hours=max(left, 0.0) / cluster.hourly))
    return JobStatus(ended=status in job_states.FINAL, limit=limit)


class Unattended(BaseModel):
    """The live jobs of a run that has ended; `exceeding` says which of its limits one has reached."""

    model_config = ConfigDict(frozen=True)

    jobs: tuple[str, ...]
    exceeding: str = ""


@stage(Stage.LOOK)
def find_unattended(session: Session, run: str, compute: Compute, wait: Wait) -> Unattended:
    """Look at the jobs that a run without a process still holds, as the run itself would have."""
    held = [job for job in leased.live_jobs(session) if job.run == run and not job.kept]
    reached = (_limit_reached(session, job, compute, wait) for job in held)
    return Unattended(jobs=tuple(job.name for job in held), exceeding=next(filter(None, reached), ""))


def _limit_reached(session: Session, job: Leased, compute: Compute, wait: Wait) -> str:
    now = service_clock.now()
    if job.created is not None and now - durations.aware(job.created) >= timedelta(hours=wait.timeout_hours):
        return f"the job {job.name} took longer than {wait.timeout_hours:g} h"
    if wait.budget_usd is None:
        return ""
    spent = _spent(session, job.name, _cluster(job, compute))
    return f"the job {job.name} has cost ${spent:.2f}" if spent >= wait.budget_usd else ""


def _cluster(job: Leased, compute: Compute) -> Cluster:
    """What the job trains on, at the price that its lease has for all of the nodes."""
    return Cluster(
        name=compute.training,
        size=compute.size,
        gpus=0,  # not known here, and nothing that a price depends on
        nodes=compute.nodes,
        price=job.hourly / compute.nodes,
        created=False,
    )


def _spent(session: Session, job: str, cluster: Cluster) -> float:
    """What a live job has cost so far, in US dollars."""
    meter, steps = Meter(cluster), run_history.steps(session, job)
    meter.look(nodes.look(session, cluster.name), steps)
    now = service_clock.now()
    return meter.bill(steps, now, until=now).dollars


@stage(Stage.LIST_JOBS)
def find_ended(session: Session, jobs: Collection[str]) -> frozenset[str]:
    """Those of the jobs that have ended or no longer exist; asks singly only for what the list lacks."""
    wanted = set(jobs)
    ended = set()
    for job in listing.jobs(session, tag=RUN):
        if not wanted:
            break
        if job.name in wanted:
            wanted.discard(job.name)
            if job.state in job_states.FINAL:
                ended.add(job.name)
    for name in wanted:
        found = listing.job(session, name)
        if found is None or found.state in job_states.FINAL:
            ended.add(name)
    return frozenset(ended)
