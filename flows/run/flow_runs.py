"""The runs of the fine-tune in Prefect, read page by page."""

from __future__ import annotations

from collections.abc import Iterator

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

FLOW = "finetune"
_PAGE = 200  # the most that Prefect's server gives at once


def flow_runs(client: SyncPrefectClient, wanted: FlowRunFilter | None = None) -> Iterator[FlowRun]:
    """All runs that the filter takes, those that began last first."""
    of_finetune = FlowFilter(name=FlowFilterName(any_=[FLOW]))
    at = 0
    while True:
        page = client.read_flow_runs(
            flow_filter=of_finetune,
            flow_run_filter=wanted,
            limit=_PAGE,
            offset=at,
            sort=FlowRunSort.START_TIME_DESC,
        )
        yield from page
        if len(page) < _PAGE:
            return
        at += _PAGE
