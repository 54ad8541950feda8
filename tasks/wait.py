"""The wait for the job: its states and log followed, its time and its dollars counted, its end judged."""

from __future__ import annotations

import random
from collections import deque
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict, Field

from tasks import clients, history
from tasks.clients import Session
from tasks.compute import Cluster
from tasks.failure import Failure, is_transient
from tasks.history import Log, Step
from tasks.pipeline import OUTPUT, Submission
from tasks.stage import displaying, logger, stage, tell

_SHORTEST = 0.5  # seconds between two polls
_SHARE = 0.05  # of the time waited: a long wait is polled seldom
_LINES_A_POLL = 200
_LAST_LINES = 30
_UNAUTHORISED = 401


class Wait(BaseModel):
    """How long to wait for the job, at what cost, and what to show meanwhile."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Wait")

    timeout_hours: float = Field(24, gt=0, description="Cancel the job after this.")
    budget_usd: float | None = Field(None, gt=0, description="Cancel the job when it has cost this much.")
    poll_seconds: float = Field(30, ge=0.1, description="The longest pause between two looks at the job.")
    outage_minutes: float = Field(
        60, ge=0, description="How long Azure may be out of reach before giving up."
    )
    forward_logs: bool = Field(True, description="Copy the running step's log into the run's log.")


class TrainedJob(BaseModel):
    """A completed job; seconds by phase, dollars by the cluster's price."""

    model_config = ConfigDict(frozen=True)

    name: str
    output: str  # azureml://jobs/…/outputs/trained_model
    studio_url: str
    queued: float
    provisioning: float
    running: float
    cost: float
    steps: tuple[Step, ...]


def _job_key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
    job: Submission = arguments["job"]
    # The creation time tells a job from one of the same name in a workspace that was made anew.
    return f"wait-{arguments['session'].workspace_id}-{job.name}-{job.created}"


@stage(
    "train",
    run_name="train {job.name}",
    persist_result=True,
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_job_key),
)
def wait_for_job(session: Session, job: Submission, cluster: Cluster, wait: Wait) -> TrainedJob:
    """Wait until the job has ended; cancels it at the time-out, at the budget and when this run is cancelled.

    Raises Failure with the failed step's error and its last log lines for every end but Completed.
    """
    watch = _Watch(session, job, cluster, wait)
    try:
        return watch.until_completed()
    except BaseException as error:
        if not isinstance(
            error, Exception
        ):  # Ctrl-C, SIGTERM, a cancelled run: nobody wants the job any more
            cancel(session, job.name)
        raise


def cancel(session: Session, job: str) -> None:
    """Ask the service to cancel the job; one that has ended stays as it is."""
    logger().warning("Cancelling job %s", job)
    clients.workspace(session).jobs.begin_cancel(job)


class _Watch:
    """One wait: what was seen so far of the job."""

    def __init__(self, session: Session, job: Submission, cluster: Cluster, wait: Wait) -> None:
        self._session = session
        self._job = job
        self._cluster = cluster
        self._wait = wait
        self._begun = datetime.now(UTC)
        self._seconds = {"queued": 0.0, "provisioning": 0.0, "running": 0.0}
        self._steps: list[Step] = []
        self._logs: dict[str, Log] = {}
        self._tails: dict[str, deque[str]] = {}
        self._said: dict[str, str] = {}
        self._artifact: UUID | None = None

    def until_completed(self) -> TrainedJob:
        waited_since = last = monotonic()
        unseen_since: float | None = None
        while True:
            try:
                status = self._look()
                unseen_since = None
            except Exception as error:
                unseen_since = unseen_since or monotonic()
                if not self._outlasts(error, monotonic() - unseen_since):
                    raise
                status = "Unknown"
            now = monotonic()
            self._seconds[self._phase(status)] += now - last
            last = now
            if status in history.ENDED:
                return self._end(status)
            self._check_limits(now - waited_since)
            self._show(status)
            pause = min(self._wait.poll_seconds, max(_SHORTEST, _SHARE * (now - waited_since)))
            sleep(pause * random.uniform(0.8, 1.2))

    def _look(self) -> str:
        """The job's state now, its steps and their new log lines with it."""
        status = clients.state(clients.workspace(self._session).jobs.get(self._job.name).status)
        self._steps = history.steps(self._session, self._job.name)
        for step in self._steps:
            if self._said.get(step.id) != step.status:
                logger().info("Step %s: %s", step.name, step.status)
                self._said[step.id] = step.status
                self._forward(step)
            elif step.status in history.RUNNING:
                self._forward(step)
        return status

    def _forward(self, step: Step) -> None:
        if step.status in history.QUEUED:
            return
        log = self._logs.setdefault(step.id, Log(self._session, step.id))
        lines = log.rest() if step.status in history.ENDED else log.new_lines()
        self._tails.setdefault(step.id, deque(maxlen=_LAST_LINES)).extend(lines)
        if not self._wait.forward_logs:
            return
        if len(lines) > _LINES_A_POLL:
            logger().info("%s | … %d lines left out", step.name, len(lines) - _LINES_A_POLL)
        for line in lines[-_LINES_A_POLL:]:
            logger().info("%s | %s", step.name, line)

    def _outlasts(self, error: Exception, seconds: float) -> bool:
        """Whether the error is an outage that may pass; raises Failure when it has lasted too long."""
        if not is_transient(error) and getattr(error, "status_code", None) != _UNAUTHORISED:
            return False
        if seconds > self._wait.outage_minutes * 60:
            raise Failure(
                f"Azure was out of reach for {seconds / 60:.0f} minutes; the job {self._job.name} goes on.",
                "Run again: the same job is found and waited for.",
                str(error),
            ) from error
        logger().warning("The job cannot be seen at the moment, waiting on: %s", error)
        return True

    def _phase(self, status: str) -> str:
        """What the time is spent on: a pipeline runs from the start, while its steps are still queued."""
        states = {step.status for step in self._steps} - history.ENDED
        if status in history.QUEUED or (states and states <= history.QUEUED):
            return "queued"
        if status in history.PROVISIONING or (states and not states & history.RUNNING):
            return "provisioning"
        return "running"

    def _cost(self) -> float:
        """Dollars so far: each step's time on its nodes, at the price of the cluster that trains."""
        now = datetime.now(UTC)
        hours = sum(step.seconds(now) * self._nodes(step) for step in self._steps) / 3600
        return hours * self._cluster.price

    def _nodes(self, step: Step) -> int:
        """Only the training step runs on more than one node."""
        return self._cluster.nodes if "finetune" in step.name.casefold().replace("-", "") else 1

    def _check_limits(self, waited: float) -> None:
        budget, spent = self._wait.budget_usd, self._cost()
        if budget is not None and spent >= budget:
            cancel(self._session, self._job.name)
            raise Failure(
                f"The budget of ${budget:g} is spent (${spent:.2f}): the job {self._job.name} is cancelled.",
                "Raise wait.budget_usd, or train less.",
            )
        hours = max(waited, self._age()) / 3600
        if hours >= self._wait.timeout_hours:
            cancel(self._session, self._job.name)
            raise Failure(
                f"The job {self._job.name} took longer than {self._wait.timeout_hours:g} h and is cancelled.",
                "Raise wait.timeout_hours; a job that stays queued waits for quota or for a free node.",
            )

    def _age(self) -> float:
        """Seconds since the job was submitted, by whomever."""
        created = self._job.created
        return 0.0 if created is None else (datetime.now(UTC) - _aware(created)).total_seconds()

    def _show(self, status: str) -> None:
        """Where the job stands, in the progress artifact and for whoever watches the terminal."""
        active = next((step for step in reversed(self._steps) if step.status not in history.ENDED), None)
        done = sum(step.status == "Completed" for step in self._steps)
        text = f"{active.name}: {active.status}" if active else status
        spent = ", ".join(f"{name} {_clock(value)}" for name, value in self._seconds.items() if value >= 1)
        tail = self._tails.get(active.id) if active else None
        tell("train", f"{text}, ${self._cost():.2f}" + (f" | {tail[-1]}" if tail else ""))
        description = (
            f"{self._job.name} is {status}. {text}. {spent or 'just begun'}; ${self._cost():.4f} so far."
        )
        self._publish(99 * done / max(len(self._steps), 5), description)

    def _publish(self, percent: float, description: str) -> None:
        if TaskRunContext.get() is None:
            return
        with displaying():
            if self._artifact is None:
                made = create_progress_artifact(percent, key="finetune-progress", description=description)
                self._artifact = made if isinstance(made, UUID) else None
            else:
                update_progress_artifact(self._artifact, percent, description)

    def _end(self, status: str) -> TrainedJob:
        if status != "Completed":
            raise self._failure(status)
        self._publish(100.0, f"{self._job.name} completed; ${self._cost():.4f}.")
        queued, provisioning, running = self._seconds.values()
        return TrainedJob(
            name=self._job.name,
            output=f"azureml://jobs/{self._job.name}/outputs/{OUTPUT}",
            studio_url=self._job.studio_url,
            queued=queued,
            provisioning=provisioning,
            running=running,
            cost=self._cost(),
            steps=tuple(self._steps),
        )

    def _failure(self, status: str) -> Failure:
        if status in ("NotResponding", "Paused"):
            cancel(self._session, self._job.name)  # it would go on to cost
        failed = next((step for step in self._steps if step.status == "Failed"), None)
        name = self._job.name
        if failed is None:
            why = history.error(self._session, name)
            return Failure(
                f"The job {name} ended as {status}.",
                "Run again for a new attempt." if status == "Canceled" else f"See {self._job.studio_url}.",
                why,
            )
        why = history.error(self._session, failed.id)
        lines = "\n".join(self._tails.get(failed.id, ()))
        headline = why.strip().splitlines()[0] if why.strip() else "see its log below"
        return Failure(
            f"The step {failed.name} of the job {name} failed: {headline}",
            f"See {self._job.studio_url}." if self._job.studio_url else "",
            f"{why}\n\nLast log lines of {failed.name}:\n{lines}".strip(),
        )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
