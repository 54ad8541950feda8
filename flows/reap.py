"""Reap: what has outlived its lease in the workspace is deleted, whoever left it there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import FlowRunSort
from prefect.runtime import deployment
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from flows.run import events, outcome
from flows.run.workspace import opened
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import displaying, logger
from tasks.reap import Leased, Reaped, end, find_leased
from tasks.sign_in import Workspace, is_named, sign_in

KEY = "finetune-reap"
NOTHING = "No workspace in Azure is named, and no run has been in one: there is nothing to look after."
_RECENT = 200  # runs, the most that Prefect's server gives at once
_DEFAULT = Workspace()


class Reaping(BaseModel):
    """Everything that carries a lease, and what was done about it; prices in US dollars an hour."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    dry_run: bool
    leased: tuple[Leased, ...]
    due: tuple[Leased, ...]  # what had outlived its lease
    reaped: tuple[Reaped, ...] = ()
    left: dict[str, str] = {}  # what could not be ended, and why
    stopped_hourly: float = 0.0  # what no longer costs
    overdue_usd: float = 0.0  # what the due things have cost since their leases ended


@flow(name="reap", flow_run_name="reap {workspace.where}")
def reap(workspace: Workspace = _DEFAULT, dry_run: bool = False) -> Reaping:
    """Delete whatever has outlived its lease, half-created and Failed things included; touch nothing else."""
    if _is_unused(workspace):
        logger().info("%s", NOTHING)
        nothing = Reaping(at=datetime.now(UTC), dry_run=dry_run, leased=(), due=())
        return Completed(message=NOTHING, data=nothing)  # type: ignore[return-value]
    with opened(workspace.where, workspace.credentials):
        session = sign_in(workspace)
        at = datetime.now(UTC)
        leased = find_leased(session)
        due = due_of(leased, at)
        reaping = Reaping(
            at=at,
            dry_run=dry_run,
            leased=leased,
            due=due,
            overdue_usd=sum(item.overdue(at) for item in due),
        )
        if not dry_run:
            _notify(session, reaping)
            reaping = _end_all(session, reaping)
    _publish(reaping)
    logger().info("%s", headline(reaping))
    if reaping.left:
        raise Failure(
            f"THESE STILL COST MONEY: {', '.join(reaping.left)}.",
            "Delete them in the studio; the next reap tries again.",
            "\n".join(f"{what}: {why}" for what, why in reaping.left.items()),
            cause=Cause.DELETION,
        )
    return Completed(message=headline(reaping), data=reaping)  # type: ignore[return-value]


def due_of(leased: Iterable[Leased], now: datetime) -> tuple[Leased, ...]:
    """What has outlived its lease, without what goes with its endpoint anyway.

    An endpoint that serves a deployment of somebody else stays: it loses only what is ours.
    """
    expired = [item for item in leased if item.expired(now)]
    endpoints = {item.name for item in expired if item.kind == "endpoint" and not item.foreign}
    return tuple(
        item
        for item in expired
        if (item.name in endpoints if item.kind == "endpoint" else item.parent not in endpoints)
    )


def headline(reaping: Reaping) -> str:
    """The outcome in one line."""
    things = f"{len(reaping.leased)} with a lease, {len(reaping.due)} past it"
    if reaping.dry_run:
        would = sum(item.hourly for item in reaping.due)
        return f"{things}; would stop ${would:.2f} an hour"
    left = f", {len(reaping.left)} LEFT" if reaping.left else ""
    return f"{things}, {len(reaping.reaped)} ended{left}; stopped ${reaping.stopped_hourly:.2f} an hour"


def rows(reaping: Reaping) -> list[dict[str, Any]]:
    """The things with a lease as a table."""
    proofs = {one.item: one.proof for one in reaping.reaped}
    return [
        {
            "thing": item.label,
            "state": item.state,
            "owner": item.owner,
            "flow run": item.run,
            "lease ends": item.expires.isoformat(timespec="minutes"),
            "dollars an hour": item.hourly,
            "past its lease": item in reaping.due,
            "what became of it": proofs.get(item, reaping.left.get(item.label, "untouched")),
        }
        for item in reaping.leased
    ]


def _is_unused(workspace: Workspace) -> bool:
    """Whether the run is that of a deployment where Azure has never been used: by people without an account.

    Who asks for it by hand is told what is missing, and so are all others once a run has signed in somewhere.
    """
    if deployment.id is None or workspace.where == "local" or is_named(workspace):
        return False
    with get_client(sync_client=True) as client:
        recent = client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=["finetune"])),
            limit=_RECENT,
            sort=FlowRunSort.START_TIME_DESC,
        )
    return not any(_was_in_azure(run) for run in recent)


def _was_in_azure(run: FlowRun) -> bool:
    """Whether a run of the fine-tune has come far enough in Azure to have made anything there."""
    given = (run.parameters.get("config") or {}).get("workspace") or {}
    return given.get("where") == "azure" and outcome.is_planned(run)


def _end_all(session: Session, reaping: Reaping) -> Reaping:
    """End what is due, each thing by itself: one that resists keeps nothing else alive."""
    reaped: list[Reaped] = []
    left: dict[str, str] = {}
    for item in reaping.due:
        state: State[Reaped] = end(session, item, return_state=True)
        if state.is_completed():
            reaped.append(state.result())
        else:
            left[item.label] = str(state.result(raise_on_failure=False))
            logger().error("%s STILL COSTS MONEY: %s", item.label, left[item.label])
    return reaping.model_copy(
        update={
            "reaped": tuple(reaped),
            "left": left,
            "stopped_hourly": sum(one.item.hourly for one in reaped),
        }
    )


def _notify(session: Session, reaping: Reaping) -> None:
    """Let people hear that something was forgotten, which ought not to happen."""
    for item in reaping.due:
        past = f"the {item.kind} has been past its lease since {item.expires.isoformat(timespec='minutes')}"
        events.lease_ended(
            f"{session.workspace_id}/{item.label.replace(' ', '/')}",
            item.label,
            f"{past}, at ${item.hourly:.2f} an hour (owner {item.owner}, flow run {item.run})",
        )


def _publish(reaping: Reaping) -> None:
    with displaying():
        create_table_artifact(rows(reaping), key=KEY, description=headline(reaping))
