"""Reap: what has outlived its lease in the workspace is deleted, whoever left it there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from flows.run import earlier, events, workspaces
from flows.run.workspace import opened
from tasks.azure.clients import Session
from tasks.azure.errors import explain, is_missing
from tasks.azure.failure import Cause, Failure
from tasks.core.artifacts import create_table_artifact
from tasks.core.display import displaying
from tasks.core.stage import logger
from tasks.leased import Kind, Leased, find_leased
from tasks.reap import Reaped, Spared, end, settle_rollouts
from tasks.sign_in import Workspace, sign_in

KEY = "finetune-reap"
NOTHING = "No workspace in Azure is named, and no run has been in one: there is nothing to reap."
_DEFAULT = Workspace()


class Reaping(BaseModel):
    """Everything that carries a lease, and what was done about it; prices in US dollars an hour."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    dry_run: bool
    workspaces: tuple[str, ...] = ()
    leased: tuple[Leased, ...] = ()
    due: tuple[Leased, ...] = ()  # what had outlived its lease
    unclear: tuple[Leased, ...] = ()  # what costs and no lease will end: a person must look
    reaped: tuple[Reaped, ...] = ()
    spared: tuple[Spared, ...] = ()  # what was due, and in use when its turn came
    left: dict[str, str] = {}  # what could not be ended, and why
    unseen: dict[str, str] = {}  # what could not be looked at, and why
    stopped_hourly: float = 0.0  # what no longer costs
    overdue_usd: float = 0.0  # what the due things have cost since their leases ended

    def __add__(self, other: Reaping) -> Reaping:
        """Both, of two workspaces."""
        return Reaping(
            at=self.at,
            dry_run=self.dry_run,
            workspaces=self.workspaces + other.workspaces,
            leased=self.leased + other.leased,
            due=self.due + other.due,
            unclear=self.unclear + other.unclear,
            reaped=self.reaped + other.reaped,
            spared=self.spared + other.spared,
            left=self.left | other.left,
            unseen=self.unseen | other.unseen,
            stopped_hourly=self.stopped_hourly + other.stopped_hourly,
            overdue_usd=self.overdue_usd + other.overdue_usd,
        )


class Unfinished(Failure):
    """Something could not be ended, or not be looked at; `reaping` is what was done all the same."""

    reaping: Reaping | None = None


@flow(name="reap", flow_run_name="reap {workspace.where}")
def reap(workspace: Workspace = _DEFAULT, dry_run: bool = False) -> Reaping:
    """Delete whatever has outlived its lease, half-created and Failed things included; touch nothing else.

    As a deployment it looks at every workspace in Azure that a recipe or a past run names, beside its own.
    """
    places = [workspace]
    if deployment.id is not None and workspace.where == "azure":
        places = workspaces.known(workspace)
    reaping = Reaping(at=datetime.now(UTC), dry_run=dry_run)
    if not places:
        logger().info("%s", NOTHING)
        return Completed(message=NOTHING, data=reaping)  # type: ignore[return-value]
    for place in places:
        try:
            reaping += _reaped(place, reaping)
        except Exception as error:
            if len(places) == 1:
                raise
            reaping += _unseen(place, error, reaping)
    _publish(reaping)
    logger().info("%s", headline(reaping))
    if reaping.left or reaping.unseen:
        raise _unfinished(reaping)
    return Completed(message=headline(reaping), data=reaping)  # type: ignore[return-value]


def _reaped(place: Workspace, so_far: Reaping) -> Reaping:
    """One workspace; nothing where it was looked at already, under another name."""
    with opened(place.where, place.credentials):
        session = sign_in(place)
        at = datetime.now(UTC)
        nothing = Reaping(at=at, dry_run=so_far.dry_run)
        known = {each.casefold() for each in so_far.workspaces}  # as Azure compares names
        if session.workspace_id.casefold() in known:
            return nothing
        seen = find_leased(session)
        due = due_of(seen.leased, at)
        reaping = nothing.model_copy(
            update={
                "workspaces": (session.workspace_id,),
                "leased": seen.leased,
                "due": due,
                "unclear": unclear_of(seen.leased, at),
                "unseen": {f"{what} in {session.workspace}": why for what, why in seen.unseen.items()},
                "overdue_usd": sum(item.overdue(at) for item in due),
            }
        )
        _warn(reaping)
        if reaping.dry_run:
            return reaping
        _notify(session, reaping)
        left = _settle(session)
        ended = _end_all(session, reaping)
        return ended.model_copy(update={"left": ended.left | left})


def _settle(session: Session) -> dict[str, str]:
    """Put right what lost runs have left in the middle of a roll-out; what could not be, and why."""
    try:
        settle_rollouts(session)
    except Exception as error:  # noqa: BLE001 - what is past its lease is ended all the same
        why = str(explain(error))
        logger().error("A roll-out that a lost run has left cannot be put right: %s", why)
        return {f"a roll-out in {session.workspace}": why}
    return {}


def _unseen(place: Workspace, error: Exception, so_far: Reaping) -> Reaping:
    """A workspace that could not be looked at; one that does not exist any more holds nothing."""
    name = place.name or place.config or "named by the environment"
    nothing = Reaping(at=so_far.at, dry_run=so_far.dry_run)
    if isinstance(error, Failure) and error.__cause__ is not None and is_missing(error.__cause__):
        logger().info("The workspace %s does not exist any more: %s", name, error)
        return nothing
    why = str(explain(error))
    logger().error("The workspace %s cannot be looked at: %s", name, why)
    return nothing.model_copy(update={"unseen": {f"the workspace {name}": why}})


def _unfinished(reaping: Reaping) -> Unfinished:
    said = [f"THESE STILL COST MONEY: {', '.join(reaping.left)}."] if reaping.left else []
    said += [f"NOT LOOKED AT: {', '.join(reaping.unseen)}."] if reaping.unseen else []
    failure = Unfinished(
        " ".join(said),
        "Look at them in the studio; the next reap tries again.",
        "\n".join(f"{what}: {why}" for what, why in {**reaping.left, **reaping.unseen}.items()),
        cause=Cause.DELETION if reaping.left else Cause.UNREACHABLE,
    )
    failure.reaping = reaping
    return failure


def due_of(leased: Iterable[Leased], now: datetime) -> tuple[Leased, ...]:
    """What has outlived its lease, without what goes with its endpoint anyway.

    An endpoint that serves a deployment of somebody else stays: it loses only what is ours.
    """
    expired = [item for item in leased if item.expired(now)]
    endpoints = {item.name for item in expired if item.kind is Kind.ENDPOINT and not item.foreign}
    return tuple(
        item
        for item in expired
        if (item.name in endpoints if item.kind is Kind.ENDPOINT else item.parent not in endpoints)
    )


def unclear_of(leased: Iterable[Leased], now: datetime) -> tuple[Leased, ...]:
    """What costs and no reap will ever end: a lease without an end, endpoints kept up by what lacks tags."""
    return tuple(item for item in leased if item.expires is None or (item.foreign and item.expired(now)))


def why_unclear(item: Leased) -> str:
    """What is wrong with its lease, in a few words."""
    if item.expires is None:
        return f"its lease cannot be read: {item.problem}"
    return f"past its lease, kept up by {', '.join(map(str, item.foreign))}, without tags of ours"


def headline(reaping: Reaping) -> str:
    """The outcome in one line."""
    things = f"{len(reaping.leased)} with a lease, {len(reaping.due)} past it"
    if reaping.dry_run:
        would = sum(item.hourly for item in reaping.due)
        things += f"; would stop ${would:.2f} an hour"
    else:
        left = f", {len(reaping.left)} LEFT" if reaping.left else ""
        left += f", {len(reaping.spared)} in use" if reaping.spared else ""
        things += f", {len(reaping.reaped)} ended{left}; stopped ${reaping.stopped_hourly:.2f} an hour"
    if reaping.unclear:
        endpoints = {item.name for item in reaping.unclear if item.kind is Kind.ENDPOINT}
        cost = sum(item.hourly for item in reaping.unclear if item.parent not in endpoints)
        things += f"; {len(reaping.unclear)} FOR A PERSON TO LOOK AT, ${cost:.2f} an hour"
    return f"{things}; {len(reaping.unseen)} NOT LOOKED AT" if reaping.unseen else things


def rows(reaping: Reaping) -> list[dict[str, Any]]:
    """The things with a lease as a table."""
    became = {one.item: one.proof for one in reaping.reaped}
    became |= {one.item: f"in use: {one.why}" for one in reaping.spared}
    became |= {item: reaping.left[item.place] for item in reaping.due if item.place in reaping.left}
    became |= {item: why_unclear(item) for item in reaping.unclear}
    return [
        {
            "workspace": item.workspace,
            "thing": item.label,
            "state": item.state,
            "owner": item.owner,
            "flow run": item.run,
            "lease ends": item.expires.isoformat(timespec="minutes") if item.expires else "unreadable",
            "dollars an hour": item.hourly,
            "past its lease": item in reaping.due,
            "what became of it": became.get(item, "untouched"),
        }
        for item in reaping.leased
    ]


def _end_all(session: Session, reaping: Reaping) -> Reaping:
    """End what is due, each thing by itself: one that resists keeps nothing else alive."""
    reaped: list[Reaped] = []
    spared: list[Spared] = []
    left: dict[str, str] = {}
    for item in reaping.due:
        state: State[Reaped | Spared] = end(session, item, return_state=True)
        if not state.is_completed():
            left[item.place] = str(state.result(raise_on_failure=False))
            logger().error("%s STILL COSTS MONEY: %s", item.place, left[item.place])
            continue
        outcome = state.result()
        if isinstance(outcome, Reaped):
            reaped.append(outcome)
            _report(outcome)
        else:
            spared.append(outcome)
    return reaping.model_copy(
        update={
            "reaped": tuple(reaped),
            "spared": tuple(spared),
            "left": left,
            "stopped_hourly": sum(one.item.hourly for one in reaped),
        }
    )


def _report(reaped: Reaped) -> None:
    """Let the history have what was served: the run that had deployed it cannot say so any more."""
    with displaying(), get_client(sync_client=True) as client:
        earlier.report_served(client, reaped.served)


def _warn(reaping: Reaping) -> None:
    for item in reaping.unclear:
        logger().warning("%s COSTS %s: %s", item.place, item.price, why_unclear(item))


def _notify(session: Session, reaping: Reaping) -> None:
    """Let people hear that something was forgotten, which ought not to happen."""
    for item in (*reaping.due, *reaping.unclear):
        if item in reaping.unclear:
            said = why_unclear(item)
        else:
            ended = item.expires.isoformat(timespec="minutes") if item.expires else ""
            said = f"the {item.kind} has been past its lease since {ended}"
        events.lease_ended(
            f"{session.workspace_id}/{item.label.replace(' ', '/')}",
            item.label,
            f"{said}; {item.price} (owner {item.owner or 'unknown'}, flow run {item.run or 'unknown'})",
        )


def _publish(reaping: Reaping) -> None:
    with displaying():
        create_table_artifact(rows(reaping), key=KEY, description=headline(reaping))
