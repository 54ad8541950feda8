"""A trial: one run of a group, which prepares, trains and measures, and deploys and registers nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock
from typing import Any

from prefect import flow
from prefect.runtime import flow_run as this_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import run as artifacts
from flows.finetune import prepare, train
from flows.run import outcome, pricing
from flows.run.context import Run
from flows.run.flow_runs import TRIAL
from flows.run.report import RunReport, report_of
from flows.trials.grid import Trial
from flows.trials.idle import IdleNodes
from flows.trials.result import End, Tried
from tasks.azure import service_clock
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.ending import signal_of
from tasks.core.stage import StageEvent, StageState, observing
from tasks.core.stages import Stage
from tasks.sign_in import sign_in

Heard = Callable[[Trial, StageEvent], None]


@dataclass(frozen=True)
class Shared:
    """What the runs of a group have in common: `sweep` is the group's flow run, which holds their leases."""

    sweep: str
    heard: Heard
    has_more: Callable[[], bool]  # whether another run is going to begin
    turn: Lock = field(default_factory=Lock)  # data is prepared, and a cluster is made, by one at a time
    idle: IdleNodes = field(default_factory=IdleNodes)
    _door: Lock = field(default_factory=Lock)
    _stopping: Event = field(default_factory=Event)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Let no run begin to submit its job from here on; those that have begun are not held up."""
        with self._door:
            self._stopping.set()

    def enter(self, submitting: Event) -> None:
        """Note that a run is about to submit its job; raises Failure once the group is stopped."""
        with self._door:
            if self._stopping.is_set():
                raise Failure("The sweep was stopped.", cause=Cause.CANCELLED)
            submitting.set()


class Running:
    """A run of the group while it goes: its own thread writes it, the group's looks at it.

    Its leases are the group's: whoever ends the group ends all that its runs hold, and a group that goes on
    in another process finds its jobs to be its own.
    """

    def __init__(self, trial: Trial, shared: Shared) -> None:
        self.trial = trial
        self.run = Run(trial.config, id=shared.sweep, trigger="sweep", sweep=shared.sweep)
        self.flow_run: str | None = None
        self.report: RunReport | None = None
        self.failure: BaseException | None = None
        self.begun, self.submitting, self.settled, self.ended = Event(), Event(), Event(), Event()
        self._shared = shared

    def execute(self) -> None:
        """Run it as a flow of its own, below the group's; never raises."""
        token = _running.set(self)
        try:
            config = self.trial.config.model_dump(mode="json")
            trial(config, return_state=True)
        except BaseException as error:  # noqa: BLE001 - the other runs go on
            self.failure = error
        finally:
            _running.reset(token)
            for event in (self.begun, self.settled, self.ended):
                event.set()

    def go(self) -> RunReport:
        """The stages up to the losses; what they have found, and what has become of them, as a report."""
        self.flow_run = str(this_run.id)
        self.begun.set()
        run = self.run
        try:
            with self._observed(), pricing.priced(run), self._nodes_left():
                self._stages(run)
        except Exception as error:  # noqa: BLE001 - it is the result of this run, and no other's
            self.failure = run.failure = error
        self._share_nodes()
        report = report_of(run).model_copy(update={"run": self.flow_run})
        artifacts.publish_report(report, run)
        self.report = report
        return report

    @property
    def dollars(self) -> float:
        """What its job has cost so far; nothing where it is another run's."""
        if self.report is not None:
            return self.report.training_usd
        meter, submission = Run.meter.of(self.run), Run.submission.of(self.run)
        return 0.0 if meter is None or submission is None or submission.reused else meter.last.dollars

    def found(self, *, over_budget: bool) -> Tried:
        """As a row of the group's table."""
        report, submission = self.report, Run.submission.of(self.run)
        return Tried(
            number=self.trial.number,
            settings=self.trial.settings,
            end=self._end(over_budget=over_budget),
            run=self.flow_run,
            job=submission.name if submission else None,
            studio_url=submission.studio_url or None if submission else None,
            reused=bool(submission and submission.reused),
            base_loss=report.base_loss if report else None,
            eval_loss=report.eval_loss if report else None,
            train_loss=report.train_loss if report else None,
            dollars=self.dollars,
            seconds=report.seconds if report else (datetime.now(UTC) - self.run.started).total_seconds(),
            failure=None if self.failure is None else str(explained(self.failure)),
        )

    def _stages(self, run: Run) -> None:
        run.session = sign_in(run.config.workspace)
        with self._shared.turn:
            work = prepare(run)
        self._shared.enter(self.submitting)
        train(run, work)

    @contextmanager
    def _nodes_left(self) -> Iterator[None]:
        """Count nodes up to the end of the block, where the next run takes them or the group deletes them."""
        try:
            yield
        finally:
            if self._shared.has_more() or not self.run.config.compute.keep:
                self.run.released = service_clock.now()

    def _share_nodes(self) -> None:
        """Count the idle time of the nodes that the run has taken over, and leave its own to the next."""
        run = self.run
        meter, submission, spent = Run.meter.of(run), Run.submission.of(run), Run.spent.of(run)
        if meter is None or submission is None or spent is None or submission.reused is not None:
            return
        run.spent = spent.with_idle(submission.name, self._shared.idle.take(meter))
        if (released := Run.released.of(run)) is not None:
            self._shared.idle.leave(meter, released)

    def _end(self, *, over_budget: bool) -> End:
        if self.failure is None and self.report is not None:
            return End.TRAINED
        cause = explained(self.failure).cause
        if over_budget and cause in (Cause.CANCELLED, Cause.BUDGET):
            return End.STOPPED
        return End.CANCELLED if self._shared.is_stopping and cause is Cause.CANCELLED else End.FAILED

    @contextmanager
    def _observed(self) -> Any:
        with observing(self._take, alone=True), observing(self.run.stages.record):
            yield

    def _take(self, event: StageEvent) -> None:
        if event.stage is Stage.SUBMIT and event.state is not StageState.RUNNING:
            self.settled.set()  # whether there is a job is known from here on
        self._shared.heard(self.trial, event)


_running: ContextVar[Running] = ContextVar("running")


def explained(error: BaseException | None) -> Failure:
    """The failure that an error amounts to; a run that has not ended when its group does was cancelled."""
    if error is None:
        return Failure("It was cancelled.", cause=Cause.CANCELLED)
    if isinstance(error, Exception):
        return explain(error)
    return Failure(f"It was interrupted by {signal_of(error)}.", cause=Cause.OTHER)


def _title() -> str:
    return _running.get().trial.title


# Without a kept result: a group that goes on in another process begins each of its runs again, and finds
# their jobs.
@flow(
    name=TRIAL,
    flow_run_name=_title,
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
)
def trial(config: dict[str, Any]) -> Any:
    """Train one combination of a sweep's settings, and measure its held-out loss."""
    running = _running.get()
    report = running.go()
    failure = running.failure
    return outcome.end(report, failure if isinstance(failure, Exception) else None)
