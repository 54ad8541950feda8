"""Prints what happens to a run whose worker is killed in mid-training, first alone and then with the run.

    uv run --extra local python -m docs.transcripts.lost_worker

It takes some minutes: a Prefect server, workers and a local workspace of its own, and a component that trains
for as long as it is told to. docs/operations.md has what it printed.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from uuid import UUID

from flows.operations.deployed_runs import row
from flows.operations.stand import PrefectServer, serving, start_worker, working
from tests.support import ours
from tests.support.deployed import Deployed, deploy
from tests.support.own_workspace import Workspace, opened
from tests.support.tiny_recipe import tiny_config
from tests.support.waiting import until

_SILENT = 60  # seconds: two heartbeats, so that it does not take longer than it must
_HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def main() -> None:
    """Print the transcript, a line for each thing that happens."""
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory(prefix="transcript-") as folder:
        home = Path(folder)
        with opened(home / "workspace") as workspace:
            variables = {"AZUREML_LOCAL_STATE": str(workspace.state), **_HEARTBEAT}
            with serving(home / "prefect", **variables) as server:
                _print(home, workspace, Deployed(server, deploy(server), start_worker(server)))


def _print(home: Path, workspace: Workspace, deployed: Deployed) -> None:
    server, enough, begun = deployed.prefect, home / "enough", time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begun:5.0f} s  {what}", flush=True)

    config = tiny_config(home / "data", f"parameters.more={{seconds: 1800, until: {enough}}}")
    worker = deployed.worker
    run = deployed.run("finetune", config)
    until(lambda: _jobs(workspace).get("Running"), "the job does not run")
    say(f"the run is {_state(server, run)}; its job {_jobs(workspace)['Running'][0]} trains")
    worker.kill()
    worker.wait()
    process = server.runs()[run]
    say(f"kill -9 of the worker alone; the run's process {process.pid} is {process.status()}")
    until(lambda: _has_beaten(server, run), "the run shows no sign of life")
    say(f"the run is {_state(server, run)} and goes on without a worker; its job trains")
    process.kill()
    say(f"kill -9 of the run's process as well; the run is {_state(server, run)}, as nobody has noticed")
    with working(server):
        say("another worker starts")
        until(lambda: _healed(deployed, run), "the run is not healed")
        enough.touch()
        say("the training may end")
        deployed.becomes(run, "Completed")
    say(f"the run is {_state(server, run)}")
    _print_end(server, workspace, run)


def _print_end(server: PrefectServer, workspace: Workspace, run: UUID) -> None:
    """What the run has gone through, and what there is to pay."""
    print("\nStates of the run:")
    with server.client() as client:
        for state in client.read_flow_run_states(run):
            print(f"  {state.timestamp:%H:%M:%S}  {state.name:14} {state.message or ''}".rstrip())
    report = row(server, run)
    assert report is not None
    nodes = [each for each in workspace.admin("ledger")["rows"] if each["kind"] == "node"]
    jobs = {status: len(names) for status, names in _jobs(workspace).items()}
    paid = f"${report['training_usd']:.4f} of training in the run's report"
    print(f"\nJobs: {jobs}; nodes billed: {len(nodes)}; {paid}.")


def _healed(deployed: Deployed, run: UUID) -> bool:
    """Let the watcher look, until the run has another process."""
    with deployed.prefect.client() as client:
        look = client.create_flow_run_from_deployment(
            deployed.deployments["watch"], parameters={"silent_seconds": _SILENT}
        )
    deployed.becomes(look.id, "Completed")
    return deployed.read(run).run_count >= 2


def _has_beaten(server: PrefectServer, run: UUID) -> bool:
    """Whether the run's process writes still, to whom there is: its artifacts are newer than the kill."""
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
    from prefect.client.schemas.sorting import ArtifactSort

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    with server.client() as client:
        newest = client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return any(each.updated is not None and time.time() - each.updated.timestamp() < 1 for each in newest)


def _jobs(workspace: Workspace) -> dict[str, list[str]]:
    """The names of the workspace's jobs by their state."""
    found: dict[str, list[str]] = {}
    for job in ours.jobs():
        found.setdefault(job.state, []).append(job.name)
    return found


def _state(server: PrefectServer, run: UUID) -> str:
    with server.client() as client:
        return str(client.read_flow_run(run).state_name)


if __name__ == "__main__":
    main()
