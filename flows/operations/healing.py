"""Healing: a deployment's run whose process is gone goes on in another one.

It is read from the runs' states and their signs of life, at every look again. Automations that wait for
events cannot do it: Prefect's server on SQLite loses events when its database is locked ("moved to the dead
letter queue", 36 times in an hour of a busy machine), and then took suspended runs for crashed ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.runtime import flow_run as this_run
from prefect.states import AwaitingRetry, Cancelled, Crashed
from pydantic import BaseModel, ConfigDict

from flows.run.flow_runs import FLOW, SWEEP, TRIAL, flow_runs
from flows.run.life import LOOK_BACK, is_lost
from tasks.core.stage import logger

FLOWS = (FLOW, SWEEP, TRIAL, "watch", "reap", "history")
ATTEMPTS = 3  # processes that one run may lose
LOST = "lost"  # the tag of a run that was being cancelled when its process was lost


class Healed(BaseModel):
    """Names of runs: taken for lost, cancelled ones whose process was lost, and those that go on."""

    model_config = ConfigDict(frozen=True)

    lost: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    rescheduled: tuple[str, ...] = ()


def heal(client: SyncPrefectClient, silent: timedelta, at: datetime | None = None) -> Healed:
    """Mark runs as crashed that show no sign of life, and schedule crashed ones again; they reuse their jobs.

    Does nothing on its first look after a while without one: the server may have been away, and with it all
    that would have reached it. Silence is judged as of `at`, by default now.
    """
    now = at or datetime.now(UTC)
    if not _was_watched(client, datetime.now(UTC) - silent):
        logger().info(
            "The first look in %.0f s: who is silent is seen at the next one", silent.total_seconds()
        )
        return Healed()
    lost = [run.name for run in _live(client) if is_lost(client, run, now, silent) and _crash(client, run)]
    ended = [run.name for run in _ending(client) if is_lost(client, run, now, silent) and _end(client, run)]
    rescheduled = [run.name for run in _crashed(client, now) if _go_on(client, run)]
    return Healed(lost=tuple(lost), ended=tuple(ended), rescheduled=tuple(rescheduled))


def is_live(client: SyncPrefectClient, at: datetime | None = None) -> bool:
    """Whether any run has, should have or may get a process, so that it may be lost, or has just been."""
    again = (run for run in flow_runs(client, _deployed(StateType.SCHEDULED)) if run.run_count)
    runs = chain(_live(client), _ending(client), _crashed(client, at or datetime.now(UTC)), again)
    return any(True for _ in runs)


def _was_watched(client: SyncPrefectClient, since: datetime) -> bool:
    """Whether an earlier run of this flow has ended since then; if none has, perhaps nobody was listening."""
    ended = FlowRunFilter(end_time=FlowRunFilterEndTime(after_=since))
    return any(str(run.id) != this_run.id for run in flow_runs(client, ended, flows=("watch",)))


def _live(client: SyncPrefectClient) -> Iterator[FlowRun]:
    """The runs that have, or should have, a process, whoever has started it; all but this one."""
    for run in flow_runs(client, _in(StateType.RUNNING, StateType.PENDING), flows=FLOWS):
        if str(run.id) != this_run.id:
            yield run


def _ending(client: SyncPrefectClient) -> Iterator[FlowRun]:
    """Runs whose process was asked to end."""
    return flow_runs(client, _deployed(StateType.CANCELLING), flows=FLOWS)


def _crashed(client: SyncPrefectClient, now: datetime) -> Iterator[FlowRun]:
    """Crashed runs and groups of them that may go on; what runs by the clock is left to its next time."""
    recently = FlowRunFilterEndTime(after_=now - LOOK_BACK)
    for run in flow_runs(client, _deployed(StateType.CRASHED, end_time=recently), flows=(FLOW, SWEEP)):
        # Not the count of its processes: a suspended run uses up one for each time that it is resumed.
        if sum(state.is_crashed() for state in client.read_flow_run_states(run.id)) < ATTEMPTS:
            yield run


def _in(*states: StateType) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(states))))


def _deployed(*states: StateType, end_time: FlowRunFilterEndTime | None = None) -> FlowRunFilter:
    """The runs of deployments alone: nobody else's can be started again from here."""
    return FlowRunFilter(
        state=_in(*states).state,
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        end_time=end_time,
    )


def _crash(client: SyncPrefectClient, run: FlowRun) -> bool:
    state: State[Any] = Crashed(message="Its process is gone: no sign of life for minutes.")
    return _change(client, run, state, "has crashed: its process has shown no sign of life")


def _end(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Tagged first: by the tag the watcher releases what the run holds."""
    state: State[Any] = Cancelled(message="Its process was lost while it was cancelled.")
    return _change(client, run, state, "is cancelled: the process that was to end it is gone", tags=(LOST,))


def _go_on(client: SyncPrefectClient, run: FlowRun) -> bool:
    state: State[Any] = AwaitingRetry(message="Its process was lost: scheduled again.")
    return _change(client, run, state, "goes on in another process")


def _change(
    client: SyncPrefectClient, run: FlowRun, state: State[Any], said: str, tags: tuple[str, ...] = ()
) -> bool:
    """Put the run into the state, unless something has happened to it since it was listed."""
    now = client.read_flow_run(run.id).state
    if now is None or run.state is None or now.id != run.state.id:
        return False
    if tags:
        client.update_flow_run(run.id, tags=sorted({*run.tags, *tags}))
    client.set_flow_run_state(run.id, state, force=True)  # also out of a state that is final otherwise
    logger().warning("%s %s", run.name, said)
    return True
