"""Where a job stands, for a run that does not stay to watch it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, run_history
from tasks.azure.clients import Session
from tasks.compute import Cluster
from tasks.core.stage import stage
from tasks.job import cost
from tasks.job.pipeline import Submission
from tasks.job.wait import Wait


class Standing(BaseModel):
    """Whether the job has ended, and the earliest moment at which it may reach its time-out or its budget."""

    model_config = ConfigDict(frozen=True)

    ended: bool
    limit: datetime


@stage("look")
def look_at_job(session: Session, job: Submission, cluster: Cluster, wait: Wait) -> Standing:
    """Look at the job once."""
    now = datetime.now(UTC)
    status = clients.state(clients.workspace(session).jobs.get(job.name).status)
    begun = cost.aware(job.created) if job.created else now
    limit = begun + timedelta(hours=wait.timeout_hours)
    if wait.budget_usd is not None and cluster.hourly > 0:
        left = wait.budget_usd - cost.dollars(run_history.steps(session, job.name), cluster)
        limit = min(limit, now + timedelta(hours=max(left, 0.0) / cluster.hourly))
    return Standing(ended=status in run_history.ENDED, limit=limit)
