"""Several runs of one job at once: what becomes of one must not be what becomes of all."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.own_workspace import Workspace
from tests.support.waiting import until
from tests.sweep import kinds
from tests.sweep.audit import Mark, reap_now, training
from tests.sweep.process import started
from tests.sweep.run import Ended
from tests.sweep.trouble import Trouble

_LONG = 600  # seconds that the training would take; a file ends it
_TRAINS = "train running"


def attempt(kind: str, recipe: dict[str, Any], before: Mark, workspace: Workspace) -> Ended | None:
    """How the run ended that must not notice the others."""
    if kind == kinds.TEN:
        return _ten(recipe)
    if kind == kinds.REAPED:
        return _reaped(recipe)
    return _beside(kind, recipe, before, workspace)


def _ten(recipe: dict[str, Any]) -> Ended | None:
    """The one of ten that ended worst."""
    ends = [each.ended() for each in [started(recipe) for _ in range(10)]]
    return next((ended for ended in ends if ended is None or not ended.completed), ends[0])


def _reaped(recipe: dict[str, Any]) -> Ended | None:
    over = threading.Event()

    def reap() -> None:
        while not over.is_set():
            reap_now()

    beside = threading.Thread(target=reap)
    beside.start()
    try:
        return started(recipe).ended()
    finally:
        over.set()
        beside.join()


def _beside(kind: str, recipe: dict[str, Any], before: Mark, workspace: Workspace) -> Ended | None:
    """A run that trains, while another one that has reused its job is given up in one way or another."""
    enough = Path(recipe["data"]["directory"]).with_suffix(".enough")
    recipe["parameters"]["more"] = {"seconds": _LONG, "until": str(enough)}
    first = started(recipe)
    until(lambda: training(before), "the job does not run")
    _GIVE_UP[kind](copy.deepcopy(recipe), workspace)
    enough.touch()
    return first.ended()


def _cancelled(recipe: dict[str, Any], workspace: Workspace) -> None:
    started(recipe, Trouble(kinds.INTERRUPT, _TRAINS, workspace.state, workspace.url)).ended()


def _timed_out(recipe: dict[str, Any], workspace: Workspace) -> None:
    recipe["wait"] |= {"timeout_hours": 1e-6}
    started(recipe).ended()


def _over_budget(recipe: dict[str, Any], workspace: Workspace) -> None:
    recipe["wait"] |= {"budget_usd": 1e-9}
    started(recipe).ended()


_GIVE_UP: dict[str, Callable[[dict[str, Any], Workspace], None]] = {
    kinds.CANCELLED: _cancelled,
    kinds.TIMED_OUT: _timed_out,
    kinds.BUDGET: _over_budget,
}
