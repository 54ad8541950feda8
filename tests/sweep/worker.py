"""One process of the sweep: its workspace, the runs it starts in it, and what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import yaml

from tests.support.own_workspace import Workspace, opened
from tests.sweep import kinds
from tests.sweep.audit import Audit, audit, mark
from tests.sweep.kinds import Call
from tests.sweep.run import Ended, run

RECIPE = Path(__file__).parent / "recipe.yaml"
_LIMIT = 400.0  # seconds of one run

_PRELOADED = [
    *("flows.finetune", "flows.artifacts.plots", "prefect.flow_engine", "prefect.task_engine"),
    *("azure.ai.ml", "azure.ai.ml.entities", "azure.ai.ml.dsl", "azure.identity", "mlflow"),
    *("matplotlib.figure", "matplotlib.backends.backend_agg", "PIL.Image", "tasks.data.prepare"),
]
_open = ExitStack()  # for the life of the process; the workspace ends when nobody holds it any more
_workspace: Workspace | None = None


@dataclass(frozen=True)
class Case:
    """One fault: of a call, or a SIGKILL at the boundary of a stage of that number, counted from one."""

    kind: str
    at: Call | int
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


@dataclass(frozen=True)
class Baseline:
    """A run without a fault: the calls it makes."""

    calls: tuple[Call, ...]
    ended: Ended


def start(folder: Path) -> None:
    """Open this process' workspace; the initializer of a pool's process."""
    global _workspace
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the SDK's pollers print dots; runs inherit this
    state = Path(tempfile.mkdtemp(dir=folder))
    _workspace = _open.enter_context(opened(state))
    # Runs are forked off a process that has imported everything once, and has no threads.
    multiprocessing.get_context("forkserver").set_forkserver_preload(_PRELOADED)


def baseline(serial: int) -> Baseline:
    """Run without a fault; raises RuntimeError when that does not complete."""
    workspace = _here()
    workspace.let_fail(kinds.watching())
    ended = _run(_recipe(workspace, serial))
    calls = kinds.calls(workspace.hit())
    if ended is None or not ended.completed:
        raise RuntimeError(f"a run without a fault does not complete: {ended}")
    return Baseline(calls, ended)


def attempt(case: Case) -> Tried:
    """Run with the fault; a second time, without it, where the first run did not complete."""
    workspace = _here()
    begun = monotonic()
    recipe, before = _recipe(workspace, case.serial), mark(workspace)
    if isinstance(case.at, int):
        first = _run(recipe, kill_at=case.at)
        happened = first is None
    else:
        workspace.let_fail(kinds.rule(case.kind, case.at))
        first = _run(recipe)
        happened = bool(workspace.hit())
        workspace.let_fail()
    second = None if first and first.completed else _run(recipe)
    return Tried(case, happened, first, second, audit(workspace, before), monotonic() - begun)


def _run(recipe: dict[str, Any], kill_at: int | None = None) -> Ended | None:
    """None when the process ended without a word, or had to be killed."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(recipe, kill_at, there))
    process.start()
    there.close()
    try:
        ended: Ended | None = here.recv() if here.poll(_LIMIT) else None
        return ended
    except EOFError:
        return None
    finally:
        process.join(10)
        if process.is_alive():
            process.kill()
            process.join()


def _recipe(workspace: Workspace, serial: int) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load(RECIPE.read_text())
    recipe["data"] |= {"seed": serial, "directory": str(workspace.state / "data" / str(serial))}
    recipe["compute"] |= {"name": f"sweep-{serial}"}
    recipe["registration"] = {"name": f"sweep-{serial}"}
    recipe["parameters"] = {"training": {"learning_rate": round(2e-5 + serial * 1e-9, 12)}}
    return recipe


def _here() -> Workspace:
    assert _workspace is not None
    return _workspace
