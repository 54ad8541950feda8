"""One process of the sweep: its workspace, the runs it starts in it, and what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import queue
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

from tests.support.flow_clock import FlowClock
from tests.support.own_workspace import Workspace, opened
from tests.sweep import kinds, together
from tests.sweep.audit import Audit, audit, billed, mark
from tests.sweep.kinds import Call
from tests.sweep.process import HUNG, started
from tests.sweep.run import Ended
from tests.sweep.server import OwnServer
from tests.sweep.trouble import Trouble

RECIPE = Path(__file__).parent / "recipe.yaml"

_PRELOADED = [
    *("flows.finetune", "flows.artifacts.plots", "prefect.flow_engine", "prefect.task_engine"),
    *("azure.ai.ml", "azure.ai.ml.entities", "azure.ai.ml.dsl", "azure.identity", "mlflow"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image", "tasks.data.prepare"),
]
_open = ExitStack()  # for the life of the process; the workspace ends when nobody holds it any more
_workspace: Workspace | None = None
_server: OwnServer | None = None  # None where PREFECT_API_URL names one for all


At = Call | tuple[str, Call, str, Call] | int | str


@dataclass(frozen=True)
class Case:
    """One trouble: a fault of a call, two of two calls, or something at a stage's boundary of that number.

    Boundaries are counted from one; 0 is the place of what concerns several runs, and a name is a stage's.
    """

    kind: str
    at: At
    serial: int  # unlike every other case's


@dataclass(frozen=True)
class Tried:
    """What came of a case; `happened` is false when the run made no such call. None: it ended without a word.

    The second run is without a fault, and follows a first one that did not complete.
    """

    case: Case
    happened: bool
    first: Ended | None
    second: Ended | None
    audit: Audit
    seconds: float
    billed: tuple[str, ...] = ()  # right after a run that a person wanted gone
    others: int = 0  # cases that came to the same run, and survived with it

    @property
    def hung(self) -> bool:
        return any(ended is not None and ended.message == HUNG for ended in (self.first, self.second))


@dataclass(frozen=True)
class Baseline:
    """A run without a fault: the calls it makes."""

    calls: tuple[Call, ...]
    ended: Ended


def start(folder: Path, servers: queue.Queue[OwnServer]) -> None:
    """Open this process' workspace and take one of the servers; the initializer of a pool's process."""
    global _workspace, _server
    if "PREFECT_API_URL" not in os.environ:
        _server = servers.get()
        os.environ.update(_server.prefect.environment)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the SDK's pollers print dots; runs inherit this
    state = Path(tempfile.mkdtemp(dir=folder))
    _workspace = _open.enter_context(opened(state))
    # Runs are forked off a process that has imported everything once, and has no threads.
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)


def baseline(serial: int) -> Baseline:
    """Run without a fault; raises RuntimeError when that does not complete."""
    workspace = _here()
    workspace.let_fail(kinds.watching())
    ended = started(recipe_of(workspace, serial)).ended()
    calls = kinds.calls(workspace.hit())
    if ended is None or not ended.completed:
        raise RuntimeError(f"a run without a fault does not complete: {ended}")
    return Baseline(calls, ended)


def attempt(case: Case) -> Tried:
    """Run with the trouble; a second time, without it, where the first run did not complete."""
    if isinstance(case.at, int) and case.kind not in kinds.TOGETHER:
        return attempt_boundaries([case], case.serial)[0]
    if not isinstance(case.at, int | str):
        return attempt_calls([case], case.serial)[0]
    workspace = _here()
    begun = monotonic()
    recipe, before = recipe_of(workspace, case.serial), mark(workspace)
    if isinstance(case.at, str):
        first: Ended | None = _own_server().lose_worker(recipe, case.at)
    else:
        first = together.attempt(case.kind, recipe, before, workspace)
    second = None if first and first.completed else started(recipe).ended()
    return Tried(case, True, first, second, audit(workspace, before), monotonic() - begun)


def attempt_calls(cases: Sequence[Case], serial: int) -> list[Tried]:
    """One run in which each of those calls goes wrong."""
    workspace = _here()
    begun = monotonic()
    recipe, before = recipe_of(workspace, serial), mark(workspace)
    rules = [kinds.rules(case.kind, case.at) for case in cases if not isinstance(case.at, int | str)]
    workspace.let_fail(*chain.from_iterable(rules))
    first = started(recipe).ended()
    hit = iter([bool(rule["hit"]) for rule in workspace.admin("faults")["faults"]])
    happened = [all(list(islice(hit, len(each)))) for each in rules]
    workspace.let_fail()
    second = None if first and first.completed else started(recipe).ended()
    found, seconds = audit(workspace, before), monotonic() - begun
    return [
        Tried(case, came, first, second, found, seconds) for case, came in zip(cases, happened, strict=True)
    ]


def attempt_boundaries(cases: Sequence[Case], serial: int) -> list[Tried]:
    """One run with the trouble of each case at its boundary."""
    workspace = _here()
    begun = monotonic()
    recipe, before = recipe_of(workspace, serial), mark(workspace)
    clock = FlowClock()
    places = [(case.kind, case.at) for case in cases if isinstance(case.at, int)]
    troubles = [Trouble(kind, at, workspace.state, workspace.url, clock) for kind, at in places]
    first = started(recipe, *troubles, beside=lambda: _restart_server(troubles[0])).ended()
    workspace.let_fail()
    is_interrupted = any(case.kind in kinds.INTERRUPTING for case in cases)
    still = billed(workspace, before) if is_interrupted else ()
    second = None if first and first.completed else started(recipe).ended()
    found, seconds = audit(workspace, before), monotonic() - begun
    happened = [first is None or len(first.stages) >= at for _, at in places]
    return [
        Tried(case, came, first, second, found, seconds, still)
        for case, came in zip(cases, happened, strict=True)
    ]


def attempt_in_turn(cases: Sequence[Case], serial: int, names: Sequence[str]) -> list[Tried]:
    """One process after another of the same run, each ended at the boundary of one case; the last completes.

    A process goes through fewer stages than the one before: it finds its boundary by the name.
    """
    workspace = _here()
    begun = monotonic()
    recipe, before = recipe_of(workspace, serial), mark(workspace)
    ends: list[tuple[Case, Ended | None, tuple[str, ...]]] = []
    for case in cases:
        assert isinstance(case.at, int), case
        trouble = Trouble(case.kind, names[case.at - 1], workspace.state, workspace.url)
        ended = started(recipe, trouble).ended()
        still = billed(workspace, before) if case.kind in kinds.INTERRUPTING else ()
        ends.append((case, ended, still))
    last = started(recipe).ended()
    found, seconds = audit(workspace, before), monotonic() - begun
    return [
        Tried(case, ended is None or not ended.completed, ended, last, found, seconds, still)
        for case, ended, still in ends
    ]


def recipe_of(workspace: Workspace, serial: int) -> dict[str, Any]:
    """The recipe of a run that reuses nothing of any other's."""
    recipe: dict[str, Any] = yaml.safe_load(RECIPE.read_text())
    recipe["data"] |= {"seed": serial, "directory": str(workspace.state / "data" / str(serial))}
    recipe["compute"] |= {"name": f"sweep-{serial}"}
    recipe["registration"] = {"name": f"sweep-{serial}"}
    recipe["parameters"] = {"training": {"learning_rate": round(2e-5 + serial * 1e-9, 12)}}
    return recipe


def _restart_server(trouble: Trouble) -> None:
    if _server is not None:
        _server.restart_once_wanted(trouble.server_wanted_gone)


def _own_server() -> OwnServer:
    assert _server is not None, f"PREFECT_API_URL must not name a server for {', '.join(kinds.OF_OWN_SERVER)}"
    return _server


def _here() -> Workspace:
    assert _workspace is not None
    return _workspace
