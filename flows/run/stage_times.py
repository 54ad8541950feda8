"""How long each stage of a run took, and at which one the run stopped."""

from __future__ import annotations

from time import monotonic

from tasks.core.stage import StageEvent, StageState
from tasks.core.stages import Stage


class StageTimes:
    """A stage's time runs from its first begin to its last end, retries and all; in seconds."""

    def __init__(self) -> None:
        self._since = monotonic()
        self._begun: dict[Stage, float] = {}
        self._seconds: dict[Stage, float] = {}
        self._running: list[Stage] = []
        self._stopped: list[Stage] = []
        self._interrupted: Stage | None = None
        self._latest: Stage | None = None

    def record(self, event: StageEvent) -> None:
        """Take an event of a stage; it may come from any thread."""
        now = monotonic()
        self._begun.setdefault(event.stage, now)
        if event.state is StageState.RUNNING:
            self._latest = event.stage
            if event.stage not in self._running:
                self._running.append(event.stage)
            return
        self._seconds[event.stage] = now - self._begun[event.stage]
        if event.stage in self._running:
            self._running.remove(event.stage)
        if event.state is StageState.DONE:
            self._stopped = [stage for stage in self._stopped if stage != event.stage]
        elif event.stage not in self._stopped:
            self._stopped.append(event.stage)

    def interrupt(self) -> None:
        """Note the stage in which the run is interrupted, before what clears up after it begins.

        Between two stages that is the one that came last.
        """
        if self._interrupted is None and not self._stopped:
            self._interrupted = self._running[-1] if self._running else self._latest

    @property
    def stopped_at(self) -> Stage | None:
        """The first stage that has failed for good, or was interrupted: what follows only clears up."""
        return self._interrupted or next(iter(self._stopped), None)

    @property
    def total(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self._since

    def seconds(self, *stages: Stage) -> float:
        """How long the stages have taken together; zero for those that the run did not reach."""
        return sum(self._seconds.get(stage, 0.0) for stage in stages)

    def by_stage(self) -> dict[str, float]:
        return {stage.value: round(value, 2) for stage, value in self._seconds.items()}
