"""The wait for the job: its states and log followed, its time and its dollars counted, its end judged."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import Any, NoReturn
from uuid import UUID

from prefect.cache_policies import CacheKeyFnPolicy
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, job_states, listing, nodes, run_history, service_clock
from tasks.azure.clients import Session
from tasks.azure.errors import cause_of_job, explain, is_transient, is_unauthorised
from tasks.azure.failure import Cause, Failure
from tasks.azure.run_history import Step
from tasks.core.artifacts import create_progress_artifact, update_progress_artifact
from tasks.core.display import displaying
from tasks.core.lease import Lease, is_held_by
from tasks.core.limit import TALK, within
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.job import durations
from tasks.job.durations import Durations
from tasks.job.log import LogFollower
from tasks.job.meter import Bill, Meter
from tasks.job.pipeline import OUTPUT, Submission
from tasks.job.queue import QueueWatch
from tasks.sections.wait import Wait as Wait

_SHORTEST = 0.5  # seconds between two polls
_SHARE = 0.05  # of the time waited: a long wait is polled seldom


class Waiter(BaseModel):
    """The flow run that waits, and since when: what it may wait for another run's job counts from there."""

    model_config = ConfigDict(frozen=True)

    run: str
    since: datetime


class TrainedJob(BaseModel):
    """A completed job; seconds by phase, dollars by the cluster's price up to the end of its idle time."""

    model_config = ConfigDict(frozen=True)

    name: str
    output: str  # azureml://jobs/…/outputs/trained_model
    studio_url: str
    queued: float
    provisioning: float
    running: float
    cost: float
    experiment: str = ""  # its own, where its metrics are
    holder: str | None = None  # the flow run that the job is, and whose dollars it has cost
    steps: tuple[Step, ...]


def _job_key(context: TaskRunContext, arguments: dict[str, Any]) -> str:
    job: Submission = arguments["job"]
    # The creation time tells a job from one of the same name in a workspace that was created again.
    return f"wait-{arguments['session'].workspace_id}-{job.name}-{job.created}"


@stage(
    Stage.TRAIN,
    run_name="train {job.name}",
    limit=None,  # it has its own, in hours
    persist_result=True,
    cache_policy=CacheKeyFnPolicy(cache_key_fn=_job_key),
)
def wait_for_job(session: Session, job: Submission, meter: Meter, wait: Wait, waiter: Waiter) -> TrainedJob:
    """Wait until the job has ended; at the time-out and at the budget it is cancelled, if the run holds it.

    The meter is read at each look, and keeps what it has seen for whoever prices the job afterwards.

    Raises Failure with the failed step's error and its last log lines for every end but Completed.
    """
    return _JobPoller(session, job, meter, wait, waiter).until_completed()


def cancel_own(session: Session, job: str, run: str) -> bool:
    """Cancel the job if it is live and the run's own by its lease; returns whether it was."""
    found = listing.job(session, job)
    if found is None or not is_held_by(found.tags, run) or found.state in job_states.FINAL:
        return False
    cancel(session, job)
    return True


def has_ended(session: Session, job: str) -> bool:
    """Whether the job is over, or no longer exists."""
    found = listing.job(session, job)
    return found is None or found.state in job_states.FINAL


def cancel(session: Session, job: str) -> None:
    """Ask the service to cancel the job; one that has ended stays as it is."""
    logger().warning("Cancelling job %s", job)
    clients.workspace(session).jobs.begin_cancel(job)


class _JobPoller:
    """One wait: what was seen so far of the job."""

    def __init__(self, session: Session, job: Submission, meter: Meter, wait: Wait, waiter: Waiter) -> None:
        self._session = session
        self._job = job
        self._meter = meter
        meter.created(None if job.created is None else durations.aware(job.created))
        self._wait = wait
        self._waiter = waiter
        self._holder: Lease | None = None
        self._experiment = ""
        self._provisioning = 0.0
        self._steps: list[Step] = []
        self._follower = LogFollower(session, forward=wait.forward_logs)
        self._queue = QueueWatch(session, job.name, meter.cluster.name)
        self._artifact: UUID | None = None

    def until_completed(self) -> TrainedJob:
        waited_since = last = monotonic()
        unseen_since: float | None = None
        while True:
            try:
                status = within(Stage.TRAIN.value, TALK, self._look)
                unseen_since = None
            except Exception as error:
                unseen_since = unseen_since or monotonic()
                if not self._outlasts(error, monotonic() - unseen_since):
                    raise
                status = "Unknown"
            now = monotonic()
            if status in job_states.FINAL:
                return self._end(status)
            if self._is_provisioning(status):
                self._provisioning += now - last
            last = now
            self._check_limits(now - waited_since)
            if not self._elapsed().running:
                self._queue.look(self._age())
            self._show(status)
            pause = min(self._wait.poll_seconds, max(_SHORTEST, _SHARE * (now - waited_since)))
            sleep(pause * random.uniform(0.8, 1.2))

    def _look(self) -> str:
        """The job's state now; its steps and their new log lines are read on the way.

        Raises only what makes the state itself unknown, and of a job that has ended its steps: which one has
        failed is wanted, and there is no hurry any more.
        """
        found = listing.submitted(self._session, self._job.name)
        status, self._holder = found.state, Lease.read(found.tags)
        self._experiment = str(found.properties.get("experimentName") or "")
        try:
            self._steps = run_history.steps(self._session, self._job.name)
        except Exception as error:
            if status in job_states.FINAL and is_transient(error):
                raise
            logger().warning("The steps of %s cannot be seen at the moment: %s", self._job.name, error)
            return status
        self._look_at_nodes()
        self._follow(attempts=2 if status in job_states.FINAL else 1)
        return status

    def _look_at_nodes(self) -> None:
        try:
            self._meter.look(nodes.look(self._session, self._meter.cluster.name), self._steps)
        except Exception as error:  # noqa: BLE001 - the steps' own times count instead
            logger().debug("The nodes of %s cannot be seen: %s", self._meter.cluster.name, error)

    def _follow(self, attempts: int) -> None:
        """Report new log lines. A log that cannot be read, as behind a firewall, decides nothing."""
        for _ in range(attempts):
            try:
                self._follower.follow(self._steps)
                return
            except Exception as error:  # noqa: BLE001
                logger().warning("The log of %s cannot be read: %s", self._job.name, explain(error).what)

    def _outlasts(self, error: Exception, seconds: float) -> bool:
        """Whether the error is an outage that may pass; raises Failure when it has lasted too long."""
        unauthorised = is_unauthorised(error)
        if not unauthorised and not is_transient(error):
            return False
        if seconds > self._wait.outage_minutes * 60:
            raise Failure(
                f"Azure was out of reach for {seconds / 60:.0f} minutes; the job {self._job.name} goes on.",
                "Run again: the same job is found and waited for.",
                str(error),
                cause=Cause.UNREACHABLE,
            ) from error
        if unauthorised:
            clients.forget()  # somebody may have signed in again meanwhile
        logger().warning("The job cannot be seen at the moment, waiting on: %s", error)
        return True

    def _is_provisioning(self, status: str) -> bool:
        """Whether a node is being made ready: a pipeline counts as running while its steps still wait."""
        states = {step.status for step in self._steps} - job_states.FINAL
        if not states:
            return status in job_states.PROVISIONING
        return bool(states & job_states.PROVISIONING) and not states & job_states.RUNNING

    def _bill(self) -> Bill:
        """What the job has cost so far."""
        now = service_clock.now()
        return self._meter.bill(self._steps, now, until=now)

    def _check_limits(self, waited: float) -> None:
        budget, spent = self._wait.budget_usd, self._bill().dollars
        if budget is not None and spent > 0 and spent >= budget:
            self._give_up(
                f"The budget of ${budget:g} is spent (${spent:.2f})",
                "Raise wait.budget_usd, or train less.",
                Cause.BUDGET,
            )
        hours = max(waited, self._age()) / 3600
        if hours >= self._wait.timeout_hours:
            self._give_up(
                f"The job {self._job.name} took longer than {self._wait.timeout_hours:g} h"
                + ("" if self._elapsed().running else " and never left the queue"),
                "Raise wait.timeout_hours; a job that stays queued waits for quota or for a free node.",
                Cause.TIMED_OUT,
            )

    def _give_up(self, why: str, do: str, cause: Cause) -> NoReturn:
        """Cancel the job and raise Failure; one that cannot be cancelled is reported as still billed.

        Another run's job is that run's to cancel: this one only ends.
        """
        name = self._job.name
        if not self._is_own():
            raise Failure(f"{why}; the job {name} goes on: {self._owner()} holds it.", do, cause=cause)
        try:
            cancel(self._session, name)
        except Exception as error:
            failure = explain(error)
            raise Failure(
                f"{why}, but the job {name} COULD NOT BE CANCELLED and is still billed: {failure.what}",
                f"Cancel it in the studio, or run: az ml job cancel -n {name}",
                failure.details,
                failure.retryable,
                cause=Cause.DELETION,
            ) from error
        raise Failure(f"{why}: the job {name} is cancelled.", do, cause=cause)

    def _is_own(self) -> bool:
        if self._holder is None:  # not seen yet
            return self._job.reused is None
        return self._holder.run == self._waiter.run

    def _owner(self) -> str:
        return f"flow run {self._holder.run}" if self._holder else "another run"

    def _age(self) -> float:
        """Seconds since the job was submitted, or since this run waits for another one's."""
        if not self._is_own():
            return (datetime.now(UTC) - durations.aware(self._waiter.since)).total_seconds()
        created = self._job.created
        return 0.0 if created is None else (service_clock.now() - durations.aware(created)).total_seconds()

    def _elapsed(self, ended: datetime | None = None) -> Durations:
        return durations.elapsed(self._job.created, self._steps, self._provisioning, ended)

    def _show(self, status: str) -> None:
        """Where the job stands, in the progress artifact and for whoever watches the terminal."""
        active = next((step for step in reversed(self._steps) if step.status not in job_states.FINAL), None)
        done = sum(step.status == "Completed" for step in self._steps)
        text = f"{active.name}: {active.status}" if active else status
        tail = self._follower.tail(active) if active else ()
        bill = self._bill()
        report(f"{text}, {bill}" + (f" | {tail[-1]}" if tail else ""))
        spent = ", ".join(f"{name} {_clock(value)}" for name, value in self._elapsed().model_dump().items())
        self._publish(
            99 * done / max(len(self._steps), 5),
            f"{self._job.name} is {status}. {text}. {spent}; {_so_far(bill)} so far.",
        )

    def _publish(self, percent: float, description: str) -> None:
        if TaskRunContext.get() is None:
            return
        with displaying():
            if self._artifact is None:
                self._artifact = create_progress_artifact(
                    percent, key="finetune-progress", description=description
                )
            else:
                update_progress_artifact(self._artifact, percent, description)

    def _end(self, status: str) -> TrainedJob:
        if status != "Completed":
            raise self._failure(status)
        bill = self._meter.bill(self._steps, service_clock.now())
        self._publish(100.0, f"{self._job.name} completed; {_so_far(bill)}.")
        return TrainedJob(
            name=self._job.name,
            output=f"azureml://jobs/{self._job.name}/outputs/{OUTPUT}",
            studio_url=self._job.studio_url,
            cost=bill.dollars,
            experiment=self._experiment,
            holder=self._holder.run if self._holder else None,
            steps=tuple(self._steps),
            **self._elapsed(durations.ended(self._steps)).model_dump(),
        )

    def _failure(self, status: str) -> Failure:
        if status in ("NotResponding", "Paused") and self._is_own():
            cancel(self._session, self._job.name)  # it would go on to cost
        failed = next((step for step in self._steps if step.status == "Failed"), None)
        name = self._job.name
        if failed is None:
            why = run_history.error(self._session, name)
            return Failure(
                f"The job {name} ended as {status}.",
                "Run again for a new attempt." if status == "Canceled" else f"See {self._job.studio_url}.",
                why,
                cause=Cause.CANCELLED if status == "Canceled" else cause_of_job(why),
            )
        why = run_history.error(self._session, failed.id)
        lines = "\n".join(self._follower.tail(failed))
        return Failure(
            f"The step {failed.name} of the job {name} failed: {_headline(why)}",
            f"See {self._job.studio_url}." if self._job.studio_url else "",
            f"{why}\n\nLast log lines of {failed.name}:\n{lines}".strip(),
            cause=cause_of_job(why, lines),
        )


def _headline(why: str) -> str:
    """The line of a step's error that says most: the exception's in a traceback, else the first."""
    lines = [line.strip() for line in why.splitlines() if line.strip()]
    if not lines:
        return "see its log below"
    return lines[-1] if "Traceback (most recent call last)" in why else lines[0]


def _so_far(bill: Bill) -> str:
    return f"{'at least ' if bill.at_least and bill.dollars else ''}${bill.dollars:.4f}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
