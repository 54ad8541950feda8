"""The project as it is operated: server, worker, all deployments, and a scheduled run of the local recipe.

    python -m tests.flows.operations.show

It trains for real, for a minute or two, in directories of its own. Nothing of it stays, however it ends; the
exit status is 0 only when the run has completed.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from prefect.client.schemas.objects import Artifact, FlowRun

from tests.support.deployed_runs import (
    DEPLOYMENT,
    artifacts,
    ended,
    pause_housekeeping,
    row,
    scheduled,
    scheduled_soon,
    tail,
    when,
)
from tests.support.prefect_server import POOL, Server, serving, until, working

_INTERRUPTED = 130
_LIMIT = 540.0  # seconds for the run; it takes about a minute on an idle machine


def main() -> int:
    """Show it, and return the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="finetune-show-") as folder:
        try:
            run = _show(Path(folder))
        except KeyboardInterrupt:
            say("Interrupted: everything is ended.")
            return _INTERRUPTED
        except AssertionError as error:  # of a wait that took too long, or of a command that failed
            say(f"Error: {error}")
            return 1
    say(f"Everything is ended, after {time.monotonic() - begun:.0f} s.")
    return 0 if run.state is not None and run.state.is_completed() else 1


def _show(folder: Path) -> FlowRun:
    """Start everything, run, and tell; whatever was started has ended when this returns or raises."""
    say("Starting a Prefect server …")
    with serving(folder / "prefect", AZUREML_LOCAL_STATE=str(folder / "workspace")) as server:
        say(f"Prefect: {server.url}/v2/")
        with working(server):
            _deploy(server)
            return _run(server)


def _deploy(server: Server) -> None:
    with server.client() as client:
        until(lambda: client.read_work_pools() or None, 120, "the worker has made no pool")
    say(f"A process worker takes up the runs of the pool {POOL}")
    server.prefect("deploy", "--all")
    pause_housekeeping(server)  # or one of them takes the processor from the run that is to be seen
    with server.client() as client:
        names = sorted(deployment.name for deployment in client.read_deployments())
    say(f"Deployed: {', '.join(names)}")


def _run(server: Server) -> FlowRun:
    """Let the schedule make a run of the local recipe, see its end, and list what it has left."""
    with scheduled_soon(server, DEPLOYMENT) as moment:
        say(f"A schedule of {DEPLOYMENT} fires at {moment:%H:%M:%S} UTC")
        made = until(lambda: scheduled(server, DEPLOYMENT), 180, "the scheduler has made no run")
        begun = when(server, made.id, lambda run: bool(run.state and not run.state.is_scheduled()))
    say(f"Run: {server.url}/v2/runs/flow-run/{begun.id}")
    run = ended(server, begun.id, _LIMIT)
    assert run.state is not None
    say(f"{run.state.name}: {run.state.message}")
    found = artifacts(server, run.id)
    if "finetune-run" in found:  # not when its process was lost
        say(f"Trigger: {row(server, run.id)['trigger']}")
    say("Artifacts:")
    for artifact in found.values():
        say(f"  {_line(artifact)}")
    if not run.state.is_completed():
        say(f"What the worker has said last:\n{tail(server)}")
    return run


def _line(artifact: Artifact) -> str:
    size = len(artifact.data if isinstance(artifact.data, str) else repr(artifact.data))
    return f"{artifact.key:22} {artifact.type:9} {size:7,} characters  {_cut(artifact.description or '')}"


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"


def say(text: str) -> None:
    print(text, flush=True)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
