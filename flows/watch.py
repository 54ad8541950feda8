"""Watch: takes up what lives without a process: lost runs, suspended ones, jobs that nobody waits for.

Where there is none of them it asks nothing of Azure, and imports nothing of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.states import Completed
from pydantic import BaseModel, ConfigDict

from flows.operations import looks
from flows.operations.healing import LOST, Healed, heal, is_live
from flows.run import earlier, outcome
from flows.run.config import Finetune
from flows.run.flow_runs import FLOW, SWEEP, flow_runs
from flows.run.life import SILENT_SECONDS
from flows.run.parameters import config_of
from flows.run.suspension import Suspension
from flows.run.workspace import opened
from tasks import spending
from tasks.azure.clients import Session
from tasks.azure.errors import explain, explained
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger
from tasks.job.status import find_ended, find_unattended
from tasks.reap import release
from tasks.sign_in import Workspace, sign_in

_RELEASED = "released"  # the tag of a run that has ended and of which nothing is left
_LOOK_BACK = timedelta(days=7)


class Watching(BaseModel):
    """How many runs were suspended; names of those resumed, of ended ones cleared up, and of the healed."""

    model_config = ConfigDict(frozen=True)

    suspended: int
    resumed: tuple[str, ...]
    released: tuple[str, ...]
    healed: Healed = Healed()

    def __str__(self) -> str:
        line = (
            f"{self.suspended} suspended, {len(self.resumed)} resumed, "
            f"{len(self.released)} ended ones cleared up"
        )
        healed = {
            "lost": (*self.healed.lost, *self.healed.ended),
            "scheduled again": self.healed.rescheduled,
        }
        return line + "".join(f", {what}: {', '.join(names)}" for what, names in healed.items() if names)


@dataclass(frozen=True)
class _Waiting:
    """One run without a process. Without a suspension it has ended; its job may go on if it is `wanted`."""

    run: FlowRun
    config: Finetune
    suspension: Suspension | None = None
    wanted: bool = False


@dataclass
class _Done:
    resumed: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@flow(name="watch", flow_run_name="watch")
def watch(silent_seconds: int = SILENT_SECONDS) -> Watching:
    """Look once after all runs without a process: heal them by Prefect, then one list of jobs a workspace.

    A run without a sign of life for so many seconds has lost its process.
    """
    with explained(), get_client(sync_client=True) as client:
        healed = heal(client, timedelta(seconds=silent_seconds))
        waiting = [*_suspended(client), *_cancelled(client), *_left(client)]
        done = _Done()
        for group in _by_workspace(waiting):
            workspace = group[0].config.workspace
            try:
                with opened(workspace.where, workspace.credentials):
                    _look_after(client, workspace, group, done)
            except Exception as error:  # noqa: BLE001 - the runs of other workspaces wait as well
                done.unseen.append(f"{workspace.name or workspace.where}: {explain(error)}")
        looks.arrange(client, lambda: _to_watch(client))
        if done.unseen:
            raise Failure(
                "Runs wait in workspaces that cannot be watched.",
                " ".join(done.unseen),
                cause=Cause.UNREACHABLE,
            )
    watching = Watching(
        suspended=sum(one.suspension is not None for one in waiting),
        resumed=tuple(done.resumed),
        released=tuple(done.released),
        healed=healed,
    )
    return Completed(message=str(watching), data=watching)  # type: ignore[return-value]


def _to_watch(client: SyncPrefectClient) -> bool:
    """Whether anything is there that the next look, in two minutes, may find changed."""
    waiting = chain(_suspended(client), _cancelled(client), _left(client))
    return is_live(client) or any(True for _ in waiting)


def _suspended(client: SyncPrefectClient) -> Iterator[_Waiting]:
    """The runs of the fine-tune that wait for their jobs; those that a person has suspended are theirs."""
    for run in flow_runs(client, FlowRunFilter(state=_named("Suspended"))):
        suspension = Suspension.read(run.state.state_details.pause_key if run.state else None)
        if suspension is not None and (config := _config(run)) is not None:
            yield _Waiting(run, config, suspension)


def _cancelled(client: SyncPrefectClient) -> Iterator[_Waiting]:
    """The runs that were cancelled without a process to clear up: Prefect runs no hook for those."""
    for run in _ended(client, "Cancelled"):
        config = _config(run)
        if config is not None and (LOST in run.tags or config.wait.mode == "suspend"):
            yield _Waiting(run, config)


def _left(client: SyncPrefectClient) -> Iterator[_Waiting]:
    """The runs that have failed or crashed for good, whose jobs may go on: nobody else minds their limits."""
    for run in _ended(client, "Failed", "Crashed"):
        if outcome.is_planned(run) and (config := _config(run)) is not None:
            yield _Waiting(run, config, wanted=True)


def _ended(client: SyncPrefectClient, *states: str) -> Iterator[FlowRun]:
    recently = FlowRunFilterEndTime(after_=datetime.now(UTC) - _LOOK_BACK)
    wanted = FlowRunFilter(state=_named(*states), end_time=recently)
    for run in flow_runs(client, wanted, flows=(FLOW, SWEEP)):
        if _RELEASED not in run.tags:
            yield run


def _named(*names: str) -> FlowRunFilterState:
    return FlowRunFilterState(name=FlowRunFilterStateName(any_=list(names)))


def _config(run: FlowRun) -> Finetune | None:
    """What the run had, or would have had, with its deployment's part; None where that cannot be read."""
    try:
        return config_of(run)
    except Exception as error:  # noqa: BLE001 - a block that is no more, a field of another version
        logger().warning("The run %s cannot be watched: %s", run.name, explain(error))
        return None


def _by_workspace(waiting: Iterable[_Waiting]) -> Iterable[list[_Waiting]]:
    groups: dict[str, list[_Waiting]] = defaultdict(list)
    for one in waiting:
        groups[one.config.workspace.model_dump_json()].append(one)
    return groups.values()


def _look_after(client: SyncPrefectClient, workspace: Workspace, group: list[_Waiting], done: _Done) -> None:
    session = sign_in(workspace)
    ended = find_ended(session, sorted({one.suspension.job for one in group if one.suspension}))
    for one in group:
        if one.suspension is None:
            _clear_up(client, session, one, done)
        elif one.suspension.job in ended or one.suspension.until <= datetime.now(UTC):
            _resume(client, one.run.id)
            logger().info("Resumed %s: %s", one.run.name, one.suspension.key)
            done.resumed.append(one.run.name)


def _clear_up(client: SyncPrefectClient, session: Session, one: _Waiting, done: _Done) -> None:
    """Release what an ended run holds; a job that may go on, only at the limits that the run had set."""
    run = str(one.run.id)
    unattended = find_unattended(session, run, one.config.compute, one.config.wait) if one.wanted else None
    if unattended is None or unattended.exceeding:
        if unattended is not None:
            logger().warning("%s, and no process minds it: %s", one.run.name, unattended.exceeding)
        released = release(session, run, training=True)
        earlier.report_served(client, released.served)
        done.released.append(one.run.name)
    elif unattended.jobs:
        return  # within its limits, for whoever runs the same again
    _price(client, session, one)
    client.update_flow_run(one.run.id, tags=[*one.run.tags, _RELEASED])


def _price(client: SyncPrefectClient, session: Session, one: _Waiting) -> None:
    """Have the history say what the run has cost: killed, it could not, and its job may have gone on."""
    try:
        run = str(one.run.id)
        spent = earlier.spent_by(session.workspace, run, spending.of_run(session, run))
        earlier.report_lost(client, one.run, one.config, spent)
    except Exception as error:  # noqa: BLE001 - what is released stays released
        logger().warning("What %s has cost cannot be seen: %s", one.run.name, explain(error))


def _resume(client: SyncPrefectClient, run: UUID) -> None:
    answer = client.resume_flow_run(run)
    if answer.state is None or not answer.state.is_scheduled():
        why = getattr(answer.details, "reason", None) or answer.status
        logger().warning("Prefect does not resume the run %s: %s", run, why)
