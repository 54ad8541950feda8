"""Watch: resumes the suspended runs whose jobs have ended, and ends what was cancelled while suspended.

Where no run is suspended it asks nothing of Azure, and imports nothing of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

from flows.run.config import Finetune
from flows.run.flow_runs import flow_runs
from flows.run.suspension import Suspension
from flows.run.workspace import opened
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import logger
from tasks.job.status import find_ended
from tasks.reap import release
from tasks.sign_in import Workspace, sign_in

_RELEASED = "released"  # the tag of a cancelled run of which nothing is left
_LOOK_BACK = timedelta(days=7)


class Watching(BaseModel):
    """How many runs were suspended; the names of the resumed, and of cancelled ones that were cleared up."""

    model_config = ConfigDict(frozen=True)

    suspended: int
    resumed: tuple[str, ...]
    released: tuple[str, ...]


@dataclass(frozen=True)
class _Waiting:
    """One run to be looked after; without a suspension it was cancelled."""

    run: FlowRun
    workspace: Workspace
    suspension: Suspension | None


@flow(name="watch", flow_run_name="watch")
def watch() -> Watching:
    """Look once after all runs that wait without a process: one list of jobs for each workspace."""
    with get_client(sync_client=True) as client:
        waiting = [*_suspended(client), *_cancelled(client)]
        resumed: list[str] = []
        released: list[str] = []
        unseen: list[str] = []
        for group in _by_workspace(waiting):
            workspace = group[0].workspace
            try:
                with opened(workspace.where, workspace.credentials):
                    _look_after(client, workspace, group, resumed, released)
            except Exception as error:  # noqa: BLE001 - the runs of other workspaces wait as well
                unseen.append(f"{workspace.name or workspace.where}: {explain(error)}")
    if unseen:
        raise Failure(
            "Runs wait in workspaces that cannot be watched.", " ".join(unseen), cause=Cause.UNREACHABLE
        )
    done = Watching(
        suspended=sum(one.suspension is not None for one in waiting),
        resumed=tuple(resumed),
        released=tuple(released),
    )
    line = f"{done.suspended} suspended, {len(resumed)} resumed, {len(released)} cancelled ones cleared up"
    return Completed(message=line, data=done)  # type: ignore[return-value]


def _suspended(client: SyncPrefectClient) -> Iterator[_Waiting]:
    """The runs of the fine-tune that wait for their jobs; those that a person has suspended are theirs."""
    for run in flow_runs(client, FlowRunFilter(state=_named("Suspended"))):
        suspension = Suspension.read(run.state.state_details.pause_key if run.state else None)
        if suspension is not None:
            yield _Waiting(run=run, workspace=_config(run).workspace, suspension=suspension)


def _cancelled(client: SyncPrefectClient) -> Iterator[_Waiting]:
    """The runs that may have been cancelled while suspended: Prefect runs no hook for what has no process."""
    recently = FlowRunFilterEndTime(after_=datetime.now(UTC) - _LOOK_BACK)
    for run in flow_runs(client, FlowRunFilter(state=_named("Cancelled"), end_time=recently)):
        if _RELEASED not in run.tags and _config(run).wait.mode == "suspend":
            yield _Waiting(run=run, workspace=_config(run).workspace, suspension=None)


def _named(name: str) -> FlowRunFilterState:
    return FlowRunFilterState(name=FlowRunFilterStateName(any_=[name]))


def _config(run: FlowRun) -> Finetune:
    return Finetune.model_validate(run.parameters.get("config") or {})


def _by_workspace(waiting: Iterable[_Waiting]) -> Iterable[list[_Waiting]]:
    groups: dict[str, list[_Waiting]] = defaultdict(list)
    for one in waiting:
        groups[one.workspace.model_dump_json()].append(one)
    return groups.values()


def _look_after(
    client: SyncPrefectClient,
    workspace: Workspace,
    group: list[_Waiting],
    resumed: list[str],
    released: list[str],
) -> None:
    session = sign_in(workspace)
    ended = find_ended(session, sorted({one.suspension.job for one in group if one.suspension}))
    for one in group:
        if one.suspension is None:
            release(session, str(one.run.id), training=True)
            client.update_flow_run(one.run.id, tags=[*one.run.tags, _RELEASED])
            released.append(one.run.name)
        elif one.suspension.job in ended or one.suspension.until <= datetime.now(UTC):
            _resume(client, one.run.id)
            logger().info("Resumed %s: %s", one.run.name, one.suspension.key)
            resumed.append(one.run.name)


def _resume(client: SyncPrefectClient, run: UUID) -> None:
    answer = client.resume_flow_run(run)
    if answer.state is None or not answer.state.is_scheduled():
        why = getattr(answer.details, "reason", None) or answer.status
        logger().warning("Prefect does not resume the run %s: %s", run, why)
