"""Suspension: a run that waits for its job ends its process, until the flow `watch` resumes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from pydantic import BaseModel, ConfigDict

from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.compute import Cluster
from tasks.core.display import displaying
from tasks.core.stage import logger
from tasks.job.pipeline import Submission
from tasks.job.status import look_at_job
from tasks.job.wait import Wait, Waiter

_WORTHWHILE = timedelta(minutes=2)  # a process begins and ends within less
_BETWEEN = " until "

WATCHER = "watch"  # the flow that resumes
DEPLOY = "prefect --no-prompt deploy --name watcher"


class Suspension(BaseModel):
    """What a suspended run waits for: its job's end, or a moment at which the job must be looked at.

    It is kept in the key of the suspension, where the watcher reads it with the run. Prefect suspends a run
    only once by the same key: the moment makes each one new.
    """

    model_config = ConfigDict(frozen=True)

    job: str
    until: datetime

    @property
    def key(self) -> str:
        return f"{self.job}{_BETWEEN}{self.until.isoformat()}"

    @classmethod
    def read(cls, key: str | None) -> Suspension | None:
        """The suspension of a key; None for suspensions that are not ours, such as a person's."""
        job, between, until = (key or "").rpartition(_BETWEEN)
        try:
            return cls(job=job, until=datetime.fromisoformat(until)) if between else None
        except ValueError:
            return None


def check(wait: Wait) -> None:
    """Refuse, before anything is paid for, to suspend a run that nothing could resume."""
    if (
        wait.mode != "suspend" or (this_run.run_count or 0) > 1
    ):  # resumed, its job perhaps paid for: it goes on
        return
    if deployment.id is None:
        raise Failure(
            "Only the run of a deployment can be suspended while it waits.",
            "Set wait.mode to poll, or run the deployment: prefect deployment run finetune/NAME.",
            cause=Cause.CONFIGURATION,
        )
    with get_client(sync_client=True) as client:
        of_watcher = FlowFilter(name=FlowFilterName(any_=[WATCHER]))
        watchers = client.read_deployments(flow_filter=of_watcher)
    if not watchers:
        raise Failure(
            "Nothing would resume the run: no watcher is deployed.",
            f"Run: {DEPLOY}. Or set wait.mode to poll.",
            cause=Cause.CONFIGURATION,
        )
    if not any(_looks(watcher) for watcher in watchers):
        name = f"{WATCHER}/{watchers[0].name}"
        raise Failure(
            f"Nothing would resume the run: {name} is paused, or has no active schedule.",
            f"Turn it on in Prefect, or run: {DEPLOY}. Or set wait.mode to poll.",
            cause=Cause.CONFIGURATION,
        )


def _looks(watcher: DeploymentResponse) -> bool:
    """Whether the deployment of the watcher runs by the clock."""
    return not watcher.paused and any(schedule.active for schedule in watcher.schedules)


def waiter(run: str, wait: Wait, started: datetime) -> Waiter:
    """The run as one that waits: a suspended one does so from its first process on, whichever this is."""
    context = FlowRunContext.get()
    first = context.flow_run.start_time if context and context.flow_run and wait.mode == "suspend" else None
    return Waiter(run=run, since=first or started)


def suspend_while_live(
    session: Session, job: Submission, cluster: Cluster, wait: Wait, waiter: Waiter
) -> None:
    """End this process unless the job has ended; the resumed run comes here again, from its beginning.

    Returns when the job has ended or is about to reach a limit: what then must be done is the wait's.
    """
    status = look_at_job(session, job, cluster, wait, waiter)
    if status.ended or status.limit - datetime.now(UTC) < _WORTHWHILE:
        return
    suspension = Suspension(job=job.name, until=status.limit)
    logger().info("Waiting for job %s without a process", job.name)
    # Without a time-out of Prefect's: a run that exceeded that would be failed unasked, its job left running.
    try:
        suspend_flow_run(key=suspension.key, timeout=None)
    except Pause as pause:
        if pause.state is not None:
            _say(pause.state, suspension)
        raise


def _say(state: State[Any], suspension: Suspension) -> None:
    """Put into a suspended run's state what it waits for: Prefect's own has no words."""
    until = f"{suspension.until.astimezone(UTC):%d %b %H:%M} UTC"
    message = f"Waits for job {suspension.job} without a process; goes on when that has ended, or at {until}."
    with_message = state.model_copy(update={"message": message})
    with displaying(), get_client(sync_client=True) as client:
        client.set_flow_run_state(UUID(this_run.id), with_message, force=True)
