"""The project as it is operated: server, worker, all deployments, and a scheduled run of the local recipe.

It trains for real, for one to three minutes, in directories of its own. Nothing of it stays, however it ends.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from prefect.client.schemas.objects import Artifact, FlowRun

from flows.operations.deployed_runs import (
    artifacts,
    deployment_id,
    ended,
    pause_housekeeping,
    row,
    scheduled,
    scheduled_soon,
    tail,
    when,
)
from flows.operations.stand import CHECKOUT, POOL, PrefectServer, serving, until, working
from flows.run import parameters
from flows.run.config import Finetune
from tasks.azure.failure import Cause, Failure

RECIPE = "local"  # the one that costs nothing
DEPLOYMENT = f"finetune/{RECIPE}"

_POOL_LIMIT = 600.0  # seconds; they end what hangs
_SCHEDULE_LIMIT = 600.0

Say = Callable[[str], None]


def show(say: Say, config: Finetune | None = None) -> bool:
    """Deploy everything, let a schedule start the local recipe, and say what its page lists.

    It has the deployment's parameters, or those of `config`.

    Returns whether the run completed; raises Failure for a wait that takes too long or a command that fails.
    Whatever was started has ended by then.
    """
    if not (CHECKOUT / "prefect.yaml").is_file():
        raise Failure(
            "There is no prefect.yaml to deploy from.",
            "`finetune show` needs a clone of the project: run it there.",
            cause=Cause.CONFIGURATION,
        )
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="finetune-show-") as folder:
        run = _shown(Path(folder), say, config)
    say(f"Everything has ended, after {time.monotonic() - begun:.0f} s.")
    return run.state is not None and run.state.is_completed()


def _shown(folder: Path, say: Say, config: Finetune | None) -> FlowRun:
    say("Starting a Prefect server …")
    with serving(folder / "prefect", AZUREML_LOCAL_STATE=str(folder / "workspace")) as server:
        say(f"Prefect: {server.url}/v2/")
        with working(server):
            deploy(server, say)
            run = run_scheduled(server, say, config)
            _list(server, run, say)
            return run


def deploy(server: PrefectServer, say: Say) -> None:
    """Deploy all of prefect.yaml, and pause what runs by the clock."""
    with server.client() as client:
        until(lambda: client.read_work_pools() or None, "The worker has made no work pool.", _POOL_LIMIT)
    say(f"A process worker executes the runs of the pool {POOL}")
    server.prefect("deploy", "--all")
    pause_housekeeping(server)  # or one of them takes the processor from the run that is to be seen
    with server.client() as client:
        names = sorted(deployment.name for deployment in client.read_deployments())
    say(f"Deployed: {', '.join(names)}")


def run_scheduled(server: PrefectServer, say: Say, config: Finetune | None = None) -> FlowRun:
    """The run of the local recipe that a schedule has started, once it has ended."""
    given = {} if config is None else parameters.of(config)
    identity = deployment_id(server, DEPLOYMENT)
    with scheduled_soon(server, DEPLOYMENT, given) as moment, server.client() as client:
        say(f"A schedule of {DEPLOYMENT} fires at {moment:%H:%M:%S} UTC")
        made = until(lambda: scheduled(client, identity), "The scheduler has made no run.", _SCHEDULE_LIMIT)
        begun = when(server, made.id, lambda run: bool(run.state and not run.state.is_scheduled()))
    say(f"Run: {server.url}/v2/runs/flow-run/{begun.id}")
    return ended(server, begun.id)


def _list(server: PrefectServer, run: FlowRun, say: Say) -> None:
    """Say how the run ended and what its page shows."""
    if run.state is not None:
        say(f"{run.state.name}: {run.state.message}")
    if report := row(server, run.id):
        say(f"Trigger: {report['trigger']}")
    say("Artifacts:")
    for artifact in artifacts(server, run.id).values():
        say(f"  {_line(artifact)}")
    if run.state is None or not run.state.is_completed():
        say(f"The last lines of the worker's log:\n{tail(server)}")


def _line(artifact: Artifact) -> str:
    size = len(artifact.data if isinstance(artifact.data, str) else repr(artifact.data))
    return f"{artifact.key:22} {artifact.type:9} {size:7,} characters  {_cut(artifact.description or '')}"


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"
