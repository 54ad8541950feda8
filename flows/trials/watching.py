"""Who watches the runs of a group: they hear each of them by itself, from whatever thread it runs in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from flows.trials.grid import Trial
from tasks.core.log import Told, logger
from tasks.core.stage import StageEvent, StageState
from tasks.core.stages import Stage

Watcher = Callable[[Trial, StageEvent], None]

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
_SAID = (Stage.SUBMIT, Stage.TRAIN, Stage.METRICS)  # what the group's log has of a run that goes well


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Have the watcher called for each stage of each run while the block runs."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def heard(trial: Trial, event: StageEvent) -> None:
    """Pass the event on; the group's log has the beginnings and the failures of what takes long."""
    if event.state is StageState.FAILED:
        said = (trial.number, trial.title, event.stage, event.detail)
        logger().warning("Run %d (%s), %s: %s", *said, extra=Told.STAGE.extra)
    elif event.state is StageState.DONE and event.stage in _SAID:
        logger().info("Run %d (%s), %s: done", trial.number, trial.title, event.stage)
    if (watcher := _watcher.get()) is not None:
        watcher(trial, event)
