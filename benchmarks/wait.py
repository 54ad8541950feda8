"""What runs hold while they wait for their jobs: `wait.mode` poll beside suspend.

    python -m benchmarks.wait [--runs 20] [--folder DIR]

So many runs of the whole flow are started at once on a process worker; their jobs take hours. Once every run
waits, the memory of the runs' processes is added up: `resident` counts what they share for each of them, `own
share` once. For the suspended runs the watcher looks after all of them once; its calls for the list of jobs,
its memory and its time are told as well. Every job is cancelled in the end. Needs PostgreSQL.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from prefect.client.schemas.filters import TaskRunFilter, TaskRunFilterName, TaskRunFilterState
from prefect.client.schemas.filters import TaskRunFilterStateName as StateName
from prefect.states import Cancelling

from flows.run.config import Finetune
from tasks.azure.job_states import FINAL
from tests.support import ours, postgresql, tiny_model
from tests.support.deployed import Deployed, deployed
from tests.support.own_workspace import Workspace, opened
from tests.support.tiny_recipe import tiny_config
from tests.support.waiting import until

LIMIT = 3600.0  # seconds until all wait; the start of twenty runs is bound by the processors
HOURS = 3

Mode = Literal["poll", "suspend"]


@dataclass(frozen=True)
class Memory:
    """Of a number of processes, in MB."""

    processes: int
    resident: float
    own: float


@dataclass(frozen=True)
class Watcher:
    """One look of the watcher after all suspended runs."""

    lists: int
    resident: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        with (
            opened(folder / "workspace") as workspace,
            # SQLite answers 503 under so many runs; PostgreSQL does not.
            postgresql.running() as database,
            deployed(
                folder / "prefect", workspace.state, PREFECT_API_DATABASE_CONNECTION_URL=database
            ) as made,
        ):
            suspended = _waiting(made, workspace, folder, arguments.runs, "suspend")
            print(suspended, file=sys.stderr)  # a measurement of many minutes is not lost with the next
            watcher = _watch(made, workspace)
            print(watcher, file=sys.stderr)
            _end(made)
            polling = _waiting(made, workspace, folder, arguments.runs, "poll")
    print(table(arguments.runs, polling, suspended, watcher))


def table(runs: int, polling: Memory, suspended: Memory, watcher: Watcher) -> str:
    """The figures as a table in Markdown."""
    rows = [
        f"| {runs} runs waiting | processes | resident, MB | own share, MB |",
        "| --- | --- | --- | --- |",
    ]
    for name, memory in (("poll", polling), ("suspend", suspended)):
        rows.append(f"| {name} | {memory.processes} | {memory.resident:.0f} | {memory.own:.0f} |")
    return "\n".join(rows) + (
        f"\n\nThe watcher looks after them with {watcher.lists} list of jobs, in {watcher.seconds:.1f} s, "
        f"and holds {watcher.resident:.0f} MB meanwhile."
    )


def _waiting(made: Deployed, workspace: Workspace, folder: Path, runs: int, mode: Mode) -> Memory:
    """Start the runs, and measure them when all of them wait; those that poll are ended then."""
    for number in range(runs):
        made.run("finetune", _config(folder, mode, number))
    if mode == "suspend":
        until(
            lambda: _count(made, "Suspended") == runs,
            limit=LIMIT,
            otherwise=f"not all are suspended: {made.log}",
        )
        until(lambda: not made.prefect.runs(), "their processes have not ended", LIMIT)
        return _memory(())
    until(lambda: _training(made) == runs, f"not all wait: {made.log}", LIMIT)
    memory = _memory(made.prefect.runs().values())
    _end(made)
    return memory


def _config(folder: Path, mode: Mode, number: int) -> Finetune:
    """A fine-tune like no other, whose job takes hours; one at a time runs, and the others are queued."""
    seconds = HOURS * 3600 + number + (0.5 if mode == "poll" else 0)
    changes = [f"parameters.more.seconds={seconds}", f"wait.mode={mode}"]
    return tiny_config(folder / "data", *changes, "wait.timeout_hours=12", "wait.poll_seconds=30")


def _memory(processes: Iterable[psutil.Process]) -> Memory:
    found = [each.memory_full_info() for each in processes]
    return Memory(
        len(found), sum(each.rss for each in found) / 2**20, sum(each.pss for each in found) / 2**20
    )


def _watch(made: Deployed, workspace: Workspace) -> Watcher:
    """Run the watcher once, and count its calls for the list of jobs."""
    workspace.let_fail(
        {"path": "workspaces/*/jobs", "method": "GET", "kind": "delay", "seconds": 0, "count": None}
    )
    run = made.run("watch")
    resident = 0
    while (found := made.read(run)).state_name != "Completed":
        for process in made.prefect.runs().values():
            resident = max(resident, _resident(process))
        time.sleep(0.1)
    assert found.start_time is not None
    assert found.end_time is not None
    lists = workspace.admin("faults")["faults"][0]["calls"]
    return Watcher(lists, resident / 2**20, (found.end_time - found.start_time).total_seconds())


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _training(made: Deployed) -> int:
    """How many runs are at the wait for their jobs."""
    running = TaskRunFilterState(name=StateName(any_=["Running"]))
    with made.prefect.client() as client:
        found = client.read_task_runs(
            task_run_filter=TaskRunFilter(name=TaskRunFilterName(like_="train "), state=running)
        )
    return len(found)


def _count(made: Deployed, state: str) -> int:
    with made.prefect.client() as client:
        return sum(run.state_name == state for run in client.read_flow_runs(limit=200))


def _end(made: Deployed) -> None:
    """Cancel every run that goes on, and every job."""
    with made.prefect.client() as client:
        for run in client.read_flow_runs(limit=200):
            if run.state is not None and not run.state.is_final():
                client.set_flow_run_state(run.id, Cancelling())
    until(lambda: not made.prefect.runs(), "not all runs have ended", LIMIT)
    workspace = tiny_model.workspace_client()
    for job in ours.jobs():  # the SDK's own list ends at another's labelling job
        if job.state not in FINAL:
            workspace.jobs.begin_cancel(job.name)


if __name__ == "__main__":
    main()
