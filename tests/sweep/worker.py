"""One process of the sweep: its workspace, the runs it starts in it, and what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import queue
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

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
    hung: bool = False


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
    workspace = _here()
    begun = monotonic()
    recipe, before = recipe_of(workspace, case.serial), mark(workspace)
    if case.kind in kinds.TOGETHER:
        first, happened = together.attempt(case.kind, recipe, before, workspace), True
    elif isinstance(case.at, str):
        first, happened = _own_server().lose_worker(recipe, case.at), True
    elif isinstance(case.at, int):
        trouble = Trouble(case.kind, case.at, workspace.state, workspace.url)
        first = started(recipe, trouble, lambda: _restart_server(trouble)).ended()
        happened = first is None or len(first.stages) >= case.at
        workspace.let_fail()
    else:
        workspace.let_fail(*kinds.rules(case.kind, case.at))
        first = started(recipe).ended()
        happened = all(rule["hit"] for rule in workspace.admin("faults")["faults"])
        workspace.let_fail()
    still = billed(workspace, before) if case.kind in kinds.INTERRUPTING else ()
    second = None if first and first.completed else started(recipe).ended()
    hung = any(ended is not None and ended.message == HUNG for ended in (first, second))
    return Tried(case, happened, first, second, audit(workspace, before), monotonic() - begun, still, hung)


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
