"""The runs as Prefect's server knows them, read page by page with as few requests as that takes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
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

from flows.artifacts import KEY
from flows.runs import Run, row_of, run_of
from flows.selection import Selection
from tasks.failure import Failure

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, TaskRun

T = TypeVar("T")

FLOW = "finetune"
_AT_ONCE = 4  # requests: a server on SQLite answers 503 when pressed
_REPORTS = 100  # run ids a request: their reports fit into one page


async def read(selection: Selection) -> list[Run]:
    """The runs selected, the newest first.

    Raises Failure when the server is out of reach, and for a recipe or model that no run has.
    """
    from httpx import HTTPError

    try:
        async with get_client() as client:
            runs = await _Reader(client).runs(selection)
    except (HTTPError, RuntimeError) as error:
        raise Failure(
            "Prefect's server gives no history.",
            "Check PREFECT_API_URL, and that the server runs: prefect server start.",
            f"{type(error).__name__}: {error}",
        ) from error
    found = [run for run in runs if selection.takes(run)]
    if not found:
        selection.check(runs)
    return found[: selection.limit]


class _Reader:
    """Reads of one server, a few at a time."""

    def __init__(self, client: PrefectClient) -> None:
        self._client = client
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def runs(self, selection: Selection) -> list[Run]:
        # A run that the scheduler has made for a day to come has not happened; one that is retried has.
        records = [
            record
            for record in await self._records(selection.since)
            if record.start_time
            or record.state_type is not StateType.SCHEDULED
            or "scheduled" in selection.states
        ]
        rows = await self._rows([record.id for record in records])
        unreported = [record.id for record in records if record.start_time and record.id not in rows]
        tasks = await self._tasks(unreported)
        return [run_of(record, rows.get(record.id), tasks[record.id]) for record in records]

    async def _records(self, since: datetime | None) -> list[FlowRun]:
        """Prefect's record of each run, once: a run that begins meanwhile moves others to the next page."""
        flows = FlowFilter(name=FlowFilterName(any_=[FLOW]))
        begun = _begun_since(since) if since else None

        async def page(offset: int) -> list[FlowRun]:
            return await self._client.read_flow_runs(
                flow_filter=flows, flow_run_filter=begun, sort=FlowRunSort.START_TIME_DESC, offset=offset
            )

        total = await self._client.count_flow_runs(flow_filter=flows, flow_run_filter=begun)
        return list({record.id: record for record in await self._pages(page, total)}.values())

    async def _rows(self, runs: list[UUID]) -> dict[UUID, dict[str, Any]]:
        """The newest report of each run: one that was retried has left several."""

        async def of(some: list[UUID]) -> dict[UUID, dict[str, Any]]:
            wanted = ArtifactFilter(
                key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=some)
            )

            async def page(offset: int) -> list[Any]:
                return await self._client.read_artifacts(
                    artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, offset=offset
                )

            found: dict[UUID, dict[str, Any]] = {}
            for artifact in await self._all(page):
                row = row_of(artifact.data)
                if artifact.flow_run_id is not None and row is not None:
                    found.setdefault(artifact.flow_run_id, row)
            return found

        found = await asyncio.gather(*(of(some) for some in _batches(runs, _REPORTS)))
        return {run: row for some in found for run, row in some.items()}

    async def _tasks(self, runs: list[UUID]) -> dict[UUID, list[TaskRun]]:
        """The task runs of these runs, by run."""

        async def of(some: list[UUID]) -> list[TaskRun]:
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=some))

            async def page(offset: int) -> list[TaskRun]:
                return await self._client.read_task_runs(
                    flow_run_filter=wanted, sort=TaskRunSort.ID_DESC, offset=offset
                )

            return await self._all(page)

        found: dict[UUID, list[TaskRun]] = defaultdict(list)
        for some in await asyncio.gather(*(of(some) for some in _batches(runs, _REPORTS))):
            for task in some:
                if task.flow_run_id is not None:
                    found[task.flow_run_id].append(task)
        return found

    async def _all(self, page: Callable[[int], Awaitable[list[T]]]) -> list[T]:
        """Every page, one after the other, until one is empty or shorter than the first."""
        found = first = await self._one(page, 0)
        last = first
        while last and len(last) == len(first):
            last = await self._one(page, len(found))
            found = [*found, *last]
        return found

    async def _pages(self, page: Callable[[int], Awaitable[list[T]]], total: int) -> list[T]:
        """Every page of so many things; how many a page holds is the server's setting."""
        first = await self._one(page, 0)
        if not first:
            return []
        offsets = range(len(first), total, len(first))
        rest = await asyncio.gather(*(self._one(page, offset) for offset in offsets))
        return [thing for things in (first, *rest) for thing in things]

    async def _one(self, page: Callable[[int], Awaitable[list[T]]], offset: int) -> list[T]:
        async with self._free:
            return await page(offset)


def _begun_since(moment: datetime) -> FlowRunFilter:
    return FlowRunFilter.model_validate(
        {
            "operator": "or_",
            "start_time": FlowRunFilterStartTime(after_=moment),
            "expected_start_time": FlowRunFilterExpectedStartTime(after_=moment),
        }
    )


def _batches(ids: list[UUID], size: int) -> list[list[UUID]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]
