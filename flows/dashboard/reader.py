"""The runs as Prefect's server knows them, read page by page with as few requests as that takes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterStartTime,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort, TaskRunSort

from flows.dashboard.job_dollars import once
from flows.dashboard.run import RunRecord, row_of, run_of
from flows.dashboard.selection import Selection
from flows.run.flow_runs import FLOW as FLOW
from flows.run.flow_runs import SWEEP, TRIAL
from flows.run.report import KEY
from tasks.azure.failure import Cause, Failure

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, TaskRun

_AT_ONCE = 4  # requests: a server on SQLite answers 503 when pressed


async def read(selection: Selection) -> list[RunRecord]:
    """The runs selected, the newest first.

    Raises Failure when the server is out of reach, and for a recipe or model that no run has.
    """
    from httpx import HTTPError

    try:
        async with get_client() as client:
            reader = _Reader(client, selection)
            read = await reader.runs()
            runs = once(read, await reader.groups(read))
    except (HTTPError, RuntimeError) as error:
        raise Failure(
            "Could not read runs from the Prefect server.",
            "Check PREFECT_API_URL, and that the server runs: prefect server start.",
            f"{type(error).__name__}: {error}",
            cause=Cause.PREFECT,
        ) from error
    found = [run for run in runs if selection.takes(run)]
    if not found:
        selection.check(runs)
    return found[: selection.limit]


class _Reader:
    """Reads of one server, a few at a time. How many things a page holds is the server's setting."""

    def __init__(self, client: PrefectClient, selection: Selection) -> None:
        self._client = client
        self._selection = selection
        self._flow = FlowFilter(name=FlowFilterName(any_=[FLOW, TRIAL]))
        self._begun = _begun_since(selection.since) if selection.since else None
        self._free = asyncio.Semaphore(_AT_ONCE)
        self._all_read = True

    async def runs(self) -> list[RunRecord]:
        """All runs, or so many of the newest that enough of them are selected."""
        total = await self._client.count_flow_runs(flow_filter=self._flow, flow_run_filter=self._begun)
        first = await self._records(0)
        # Once each: a run that begins meanwhile moves others to the next page.
        found = {run.id: run for run in await self._described(first)}
        offsets = range(len(first), total, len(first)) if first else range(0)
        if self._selection.limit is None:
            for page in await asyncio.gather(*map(self._page, offsets)):
                found |= {run.id: run for run in page}
            return list(found.values())
        for offset in offsets:
            if sum(map(self._selection.takes, found.values())) >= self._selection.limit:
                self._all_read = False
                break
            found |= {run.id: run for run in await self._page(offset)}
        return list(found.values())

    async def groups(self, runs: Sequence[RunRecord]) -> list[str]:
        """The sweeps of which all runs are among these: where not all were read, those that began later."""
        found: list[str] = []
        begun = self._begun if self._all_read or not runs else _begun_since(min(run.when for run in runs))
        while True:
            page = await self._client.read_flow_runs(
                flow_filter=FlowFilter(name=FlowFilterName(any_=[SWEEP])),
                flow_run_filter=begun,
                sort=FlowRunSort.START_TIME_DESC,
                offset=len(found),
            )
            found += [str(run.id) for run in page]
            if not page:
                return found

    async def _page(self, offset: int) -> list[RunRecord]:
        async with self._free:
            return await self._described(await self._records(offset))

    async def _records(self, offset: int) -> list[FlowRun]:
        return await self._client.read_flow_runs(
            flow_filter=self._flow,
            flow_run_filter=self._begun,
            sort=FlowRunSort.START_TIME_DESC,
            offset=offset,
        )

    async def _described(self, records: list[FlowRun]) -> list[RunRecord]:
        """The runs of these records, with what they reported or, failing that, what their tasks show."""
        happened = [record for record in records if self._has_happened(record)]
        rows = await self._rows([record.id for record in happened])
        tasks = await self._tasks([r.id for r in happened if r.start_time and r.id not in rows])
        return [run_of(record, rows.get(record.id), tasks[record.id]) for record in happened]

    def _has_happened(self, record: FlowRun) -> bool:
        """Not so a run that the scheduler has made for a day to come, unless those are asked for."""
        return (
            record.start_time is not None
            or record.state_type is not StateType.SCHEDULED
            or "scheduled" in self._selection.states
        )

    async def _rows(self, runs: list[UUID]) -> dict[UUID, dict[str, Any]]:
        """The newest report of each run: one that was retried has left several."""
        wanted = ArtifactFilter(
            key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=runs)
        )
        found: dict[UUID, dict[str, Any]] = {}
        offset = 0
        while len(found) < len(runs):
            page = await self._client.read_artifacts(
                artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, offset=offset
            )
            for artifact in page:
                row = row_of(artifact.data)
                if artifact.flow_run_id is not None and row is not None:
                    found.setdefault(artifact.flow_run_id, row)
            if len(page) < len(runs):  # there were that many in a page of runs: this one is not full
                break
            offset += len(page)
        return found

    async def _tasks(self, runs: list[UUID]) -> dict[UUID, list[TaskRun]]:
        """The task runs of these runs, by run."""
        found: dict[UUID, list[TaskRun]] = defaultdict(list)
        offset = 0
        while runs:
            page = await self._client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=runs)),
                sort=TaskRunSort.ID_DESC,
                offset=offset,
            )
            for task in page:
                if task.flow_run_id is not None:
                    found[task.flow_run_id].append(task)
            if len(page) < len(runs):
                break
            offset += len(page)
        return found


def _begun_since(moment: datetime) -> FlowRunFilter:
    return FlowRunFilter.model_validate(
        {
            "operator": "or_",
            "start_time": FlowRunFilterStartTime(after_=moment),
            "expected_start_time": FlowRunFilterExpectedStartTime(after_=moment),
        }
    )
