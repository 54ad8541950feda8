"""`finetune logs`: the log of a run, or of a job's steps, also while it grows."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.terminal.places import CredentialsOption, NameOption, RecipeOption, WhereOption, workspace
from flows.terminal.reporting import reporting

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

    from tasks.azure.clients import Session
    from tasks.sign_in import Workspace

_PAGE = 200  # the most that Prefect's server gives at once
_PAUSE = 1.0  # seconds between two looks at a log that grows

Line = dict[str, Any]


def logs(
    wanted: Annotated[
        str, typer.Argument(metavar="NAME", help="A run, by its id or a part of its name, or a job.")
    ],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Print new lines until it has ended.")
    ] = False,
    where: WhereOption = None,
    recipe: RecipeOption = None,
    name: NameOption = None,
    credentials: CredentialsOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print an object a line as JSON on stdout.")
    ] = False,
) -> None:
    """Print the log of a run, or of the steps of a job."""
    out = sys.stdout  # which libraries do not get to write to meanwhile

    def write(line: Line) -> None:
        text = json.dumps(line) if as_json else f"{line['at']} | {line['text']}"
        typer.echo(text, file=out)

    with reporting("the run and its job go on"):
        from flows.terminal import prefect_server

        prefect_server.start()
        _logs(wanted, follow, lambda: workspace(where, recipe, name, credentials), write)


def _logs(wanted: str, follow: bool, place: Callable[[], Workspace], write: Callable[[Line], None]) -> None:
    from prefect.client.orchestration import get_client

    from flows.run import live
    from flows.run.workspace import opened
    from tasks.azure.redaction import Lines
    from tasks.sign_in import sign_in

    filters: dict[str, Lines] = defaultdict(Lines)  # by step: their lines alternate

    def show(line: Line) -> None:
        (text,) = filters[str(line.get("step"))]([line["text"]])
        write({**line, "text": text})

    with get_client(sync_client=True) as client:
        run = live.find(client, wanted)
        if run is not None:
            for line in _of_run(client, run, follow):
                show(line)
            return
    there = place()
    with opened(there.where, there.credentials):
        for line in _of_job(sign_in.fn(there), wanted, follow):
            show(line)


def _of_run(client: SyncPrefectClient, run: FlowRun, follow: bool) -> Iterator[Line]:
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id]))
    at = 0
    while True:
        state = client.read_flow_run(run.id).state  # before its last lines are read
        while page := client.read_logs(log_filter=of_run, limit=_PAGE, offset=at, sort=LogSort.TIMESTAMP_ASC):
            at += len(page)
            for entry in page:
                moment = entry.timestamp.isoformat(timespec="seconds")
                yield {"at": moment, "level": entry.level, "text": entry.message}
        if not follow or (state is not None and state.is_final()):
            return
        sleep(_PAUSE)


def _of_job(session: Session, name: str, follow: bool) -> Iterator[Line]:
    from tasks.azure import job_states, listing, run_history
    from tasks.azure.failure import Cause, Failure
    from tasks.azure.run_history import Log, Step

    job = listing.job(session, name)
    if job is None:
        raise Failure(
            f"There is no run and no job {name!r}.",
            "Look for it with `finetune ps` or `finetune history`.",
            cause=Cause.NOT_FOUND,
        )
    read: dict[str, Log] = {}
    while True:
        state = listing.submitted(session, name).state
        ended = state in job_states.FINAL
        steps = run_history.steps(session, name)
        if not job.is_pipeline:
            steps = [Step(id=name, name=name, status=state)]  # its own and only one
        for step in steps:
            if step.status in job_states.QUEUED:
                continue
            log = read.setdefault(step.id, Log(session, step.id))
            for line in log.rest() if ended or step.status in job_states.FINAL else log.new_lines():
                yield {"at": step.name, "step": step.id, "text": line}
        if not follow or ended:
            return
        sleep(_PAUSE)
