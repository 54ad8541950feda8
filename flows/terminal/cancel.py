"""`finetune cancel`: a run or a job that nobody wants any more is ended, and what it bills with it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from tasks.sign_in import Workspace


@dataclass(frozen=True, kw_only=True)
class Cancelled:
    """What was cancelled; `released` is what of it was ended here and now."""

    run: str | None = None
    job: str | None = None
    state: str
    released: tuple[str, ...] = ()

    def __str__(self) -> str:
        ended = f"; ended {', '.join(self.released)}" if self.released else ""
        return f"{f'run {self.run}' if self.run else f'job {self.job}'} is {self.state}{ended}"


def cancel(
    wanted: Annotated[
        str, typer.Argument(metavar="NAME", help="A run, by its id or a part of its name, or a job.")
    ],
    lost: Annotated[
        bool, typer.Option("--lost", help="The run's process is gone: release what it holds from here.")
    ] = False,
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was cancelled as JSON on stdout.")
    ] = False,
) -> None:
    """Cancel a run with its job, endpoint and cluster, or a job alone."""
    with reporting("what was not reached goes on"):
        from flows.terminal import prefect_server

        prefect_server.start()
        from prefect.client.orchestration import get_client

        from flows.run import live

        with get_client(sync_client=True) as client:
            run = live.find(client, wanted)
            if run is not None:
                done = _cancel_run(client, run, lost)
            else:
                done = _cancel_job(workspace(where, recipe, name, credentials), wanted)
    typer.echo(json.dumps(asdict(done), indent=2) if as_json else str(done))


def _cancel_run(client: SyncPrefectClient, run: FlowRun, lost: bool) -> Cancelled:
    """Ask the process of a run to end it; release here what a run without a process holds.

    Raises Failure for a run that has ended, and for one that somebody's terminal runs.
    """
    from prefect.states import Cancelled as CancelledState
    from prefect.states import Cancelling

    from tasks.azure.failure import Cause, Failure

    state = run.state
    if state is not None and state.is_final():
        if not lost:
            raise Failure(
                f"The run {run.name} has ended already: {state.name}.",
                f"What it may still hold is released by: finetune cancel --lost {run.id}",
                cause=Cause.CONFIGURATION,
            )
        return Cancelled(run=run.name, state=state.name or "", released=_release(client, run))
    has_process = state is not None and (state.is_running() or state.is_cancelling())
    if has_process and not lost:
        if run.deployment_id is None:
            raise Failure(
                f"The run {run.name} belongs to a terminal.",
                f"Press Ctrl-C there. If its process is gone, run: finetune cancel --lost {run.id}",
                cause=Cause.IN_USE,
            )
        client.set_flow_run_state(run.id, Cancelling(message="finetune cancel"), force=True)
        return Cancelled(run=run.name, state="Cancelling")
    client.set_flow_run_state(run.id, CancelledState(message="finetune cancel"), force=True)
    return Cancelled(run=run.name, state="Cancelled", released=_release(client, run))


def _release(client: SyncPrefectClient, run: FlowRun) -> tuple[str, ...]:
    """End what the run holds, in the workspace that it names; its report gets what deployments have cost."""
    from flows.run.earlier import report_served
    from flows.run.parameters import config_of
    from flows.run.workspace import opened
    from tasks.reap import release
    from tasks.sign_in import sign_in

    place = config_of(run).workspace
    with opened(place.where, place.credentials):
        released = release(sign_in.fn(place), str(run.id), training=True)
        report_served(client, released.served)
        return released.things


def _cancel_job(place: Workspace, name: str) -> Cancelled:
    from flows.run.workspace import opened
    from tasks.azure import job_states, listing
    from tasks.azure.failure import Cause, Failure
    from tasks.core.lease import Lease
    from tasks.job import wait
    from tasks.sign_in import sign_in

    with opened(place.where, place.credentials):
        session = sign_in.fn(place)
        found = listing.job(session, name)
        if found is None or Lease.read(found.tags) is None:
            known = "There is no run, and no job of this project," if found else "There is no run and no job"
            raise Failure(f"{known} {name!r}.", "Look for it with `finetune ps`.", cause=Cause.NOT_FOUND)
        if found.state in job_states.FINAL:
            raise Failure(f"The job {name} has ended already: {found.state}.", cause=Cause.CONFIGURATION)
        wait.cancel(session, name)
        return Cancelled(job=name, state=listing.submitted(session, name).state)
