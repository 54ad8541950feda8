"""The runs of the fine-tune as people name them, and what is live at this moment: runs, and what costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from pydantic import BaseModel, ConfigDict

from flows.run.flow_runs import FLOW, SWEEP, flow_runs
from tasks.azure.failure import Cause, Failure
from tasks.leased import Kind, Leased
from tasks.use import Use

_LIVE = [
    StateType.RUNNING,
    StateType.PENDING,
    StateType.PAUSED,
    StateType.CANCELLING,
    StateType.SCHEDULED,
]
_FLOWS = (FLOW, SWEEP)  # what a person starts and may end; a group's runs end with it
_SHOWN = 5  # runs that a name may mean, in a failure


class LiveRun(BaseModel):
    """A run that has not ended; `since` is its start, or when it should have started."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    name: str
    state: str
    since: datetime | None
    deployed: bool  # a worker's, which ends it when asked to


class Live(BaseModel):
    """What is live: runs, and billed things with their leases; `hourly` in US dollars.

    `uses` says how the endpoints are asked that are kept on purpose.
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    runs: tuple[LiveRun, ...]
    things: tuple[Leased, ...]
    unseen: dict[str, str]
    hourly: float
    uses: tuple[Use, ...] = ()


def live(client: SyncPrefectClient, things: tuple[Leased, ...], unseen: dict[str, str]) -> Live:
    """Everything that is live, of what was seen in a workspace."""
    endpoints = {item.name for item in things if item.kind is Kind.ENDPOINT}  # with their deployments' prices
    return Live(
        at=datetime.now(UTC),
        runs=tuple(map(live_run, _live_runs(client))),
        things=things,
        unseen=unseen,
        hourly=sum(item.hourly for item in things if item.parent not in endpoints),
    )


def live_run(run: FlowRun) -> LiveRun:
    return LiveRun(
        id=run.id,
        name=run.name,
        state=run.state.name if run.state and run.state.name else "Unknown",
        since=run.start_time or run.expected_start_time,
        deployed=run.deployment_id is not None,
    )


def find(client: SyncPrefectClient, name: str, flows: Sequence[str] = _FLOWS) -> FlowRun | None:
    """The run of that id or name, or of the only name or id that it is a part of; live runs go first.

    Raises Failure where several may be meant: ids of runs that began together begin alike.
    """
    if (by_id := _by_id(client, name, flows)) is not None:
        return by_id
    for runs in (list(_live_runs(client, flows)), list(flow_runs(client, flows=flows))):
        wanted = name.casefold()
        exact = [run for run in runs if run.name.casefold() == wanted]
        found = exact or [
            run for run in runs if wanted in run.name.casefold() or str(run.id).startswith(wanted)
        ]
        if len(found) > 1:
            raise Failure(
                f"{len(found)} runs are called {name!r}.",
                f"Give an id: {', '.join(f'{run.id} ({run.name})' for run in found[:_SHOWN])}.",
                cause=Cause.CONFIGURATION,
            )
        if found:
            return found[0]
    return None


def _by_id(client: SyncPrefectClient, text: str, flows: Sequence[str]) -> FlowRun | None:
    try:
        wanted = UUID(text)
    except ValueError:
        return None
    return next(flow_runs(client, FlowRunFilter(id=FlowRunFilterId(any_=[wanted])), flows), None)


def _live_runs(client: SyncPrefectClient, flows: Sequence[str] = _FLOWS) -> Iterator[FlowRun]:
    """The runs that have not ended; those that a schedule holds ready for later are not live yet."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVE))
    now = datetime.now(UTC)
    for run in flow_runs(client, FlowRunFilter(state=state), flows):
        waits = run.state is not None and run.state.is_scheduled() and not run.run_count
        if not waits or (run.expected_start_time is not None and run.expected_start_time <= now):
            yield run
