"""The runs of the fine-tune, and of what looks after it, in Prefect: read page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort

FLOW = "finetune"
SWEEP, TRIAL = "sweep", "trial"  # runs of one group, and each of them
_PAGE = 200  # the most that Prefect's server gives at once


def flow_runs(
    client: SyncPrefectClient, wanted: FlowRunFilter | None = None, flows: Sequence[str] = (FLOW,)
) -> Iterator[FlowRun]:
    """All runs of these flows that the filter takes, those that began last first."""
    of_flows = FlowFilter(name=FlowFilterName(any_=list(flows)))
    at = 0
    while True:
        page = client.read_flow_runs(
            flow_filter=of_flows,
            flow_run_filter=wanted,
            limit=_PAGE,
            offset=at,
            sort=FlowRunSort.START_TIME_DESC,
        )
        yield from page
        if len(page) < _PAGE:
            return
        at += _PAGE
