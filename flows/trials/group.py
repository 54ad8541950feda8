"""A group of runs: so many at a time, until all have ended, the budget is spent or somebody stops them."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from threading import Event, Thread
from time import monotonic

from flows.run.context import Run
from flows.trials.grid import Sweep, Trial
from flows.trials.result import End, Tried
from flows.trials.trial import Heard, Running, Shared, explained
from tasks.azure.failure import Cause
from tasks.core import outage, signals
from tasks.core.stage import logger
from tasks.job.wait import cancel_own
from tasks.reap import cancel_jobs

_LOOK = 1.0  # seconds between two looks at what the runs have cost
_SUBMITTING = 120.0  # seconds: the longest that a job on its way is waited for before jobs are cancelled
_ENDING = 15.0  # seconds that interrupted runs have to see their jobs cancelled


class Group:
    """The runs of a sweep, of which the main thread starts, counts and stops those of other threads."""

    def __init__(self, sweep: Sweep, trials: Sequence[Trial], id: str, heard: Heard) -> None:
        self.id = id
        self.over_budget = False
        self._sweep = sweep
        self._trials = trials
        self._shared = Shared(sweep=id, heard=heard, has_more=self._has_more)
        self._runs: list[Running] = []
        self._changed = Event()

    def run(self) -> None:
        """Return when every run has ended, however; raises only what interrupts the process."""
        while True:
            self._changed.clear()
            self._check_budget()
            if self._may_start():
                self._start(self._trials[len(self._runs)])
            elif self._live():
                self._changed.wait(_LOOK)
            else:
                return

    def stop(self) -> None:
        """Cancel the jobs that the runs hold, once it is known of those on their way what became of them."""
        self._shared.stop()
        deadline = monotonic() + _SUBMITTING
        for running in self._live():
            if running.submitting.is_set():
                running.settled.wait(max(deadline - monotonic(), 0.0))
        for running in self._live():
            outage.outlast(lambda running=running: self._cancel(running), outage.CLEAN_UP)  # type: ignore[misc]

    def leave(self) -> None:
        """Let the runs see that their jobs are cancelled, but not for long: a person waits."""
        deadline = monotonic() + _ENDING
        for running in self._runs:
            while not running.ended.is_set() and monotonic() < deadline and not signals.leaving():
                running.ended.wait(_LOOK)

    def found(self) -> tuple[Tried, ...]:
        """A row for each run, also for those that were not begun."""
        rows = [running.found(over_budget=self.over_budget) for running in self._runs]
        rows += [
            Tried(number=trial.number, settings=trial.settings, end=End.NOT_STARTED)
            for trial in self._trials[len(self._runs) :]
        ]
        return tuple(_paid_once(rows))

    @property
    def runs(self) -> Sequence[Running]:
        return self._runs

    @property
    def dollars(self) -> float:
        """What all have cost so far."""
        return sum(each.dollars for each in self.found())

    def _may_start(self) -> bool:
        return self._has_more() and len(self._live()) < self._sweep.parallel

    def _has_more(self) -> bool:
        return len(self._runs) < len(self._trials) and not self._shared.is_stopping

    def _start(self, trial: Trial) -> None:
        running = Running(trial, self._shared)
        self._runs.append(running)
        context = copy_context()  # of the group's flow, whose runs they are

        def execute() -> None:
            context.run(running.execute)
            self._changed.set()

        # Keeps no process from ending: what is left of a lost one is found by whoever runs this again.
        Thread(target=execute, name=f"trial-{trial.number}", daemon=True).start()
        running.begun.wait()  # in turn, so that a group that goes on gives each its own record again

    def _live(self) -> list[Running]:
        return [running for running in self._runs if not running.ended.is_set()]

    def _check_budget(self) -> None:
        budget = self._sweep.budget_usd
        if budget is None or self._shared.is_stopping or (spent := self.dollars) < budget:
            return
        if len(self._runs) == len(self._trials) and not self._live() and not self._is_short():
            return  # the last run has ended by itself
        logger().warning("The budget of $%g is spent ($%.2f): the group ends here", budget, spent)
        self.over_budget = True
        self.stop()

    def _is_short(self) -> bool:
        """Whether a run has met the budget by itself: each has the group's as its own."""
        return any(
            running.failure is not None and explained(running.failure).cause is Cause.BUDGET
            for running in self._runs
        )

    def _cancel(self, running: Running) -> None:
        submission = Run.submission.of(running.run)
        if submission is not None:
            cancel_own(running.run.session, submission.name, self.id)
        elif running.submitting.is_set():  # it has taken so long that only the job's tags may tell
            cancel_jobs(running.run.session, self.id)


def _paid_once(rows: Sequence[Tried]) -> list[Tried]:
    """The rows, of which two of one job, as they may be whose settings come to the same, count it once."""
    seen: set[str] = set()
    found = []
    for row in rows:
        twice = row.job is not None and row.job in seen
        found.append(row.model_copy(update={"dollars": 0.0, "reused": True}) if twice else row)
        if row.job is not None:
            seen.add(row.job)
    return found
