"""Runs of one job share its endpoint, and each may be the first to end."""

from __future__ import annotations

from typing import Any

import pytest

from flows.finetune import finetune
from tasks.core.stage import StageEvent, observing
from tasks.delete import EndpointEnd
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.prefect_server import PrefectServer


@pytest.mark.parametrize("stage", ["deploy", "invoke"])
def test_an_endpoint_deleted_by_another_run_is_made_anew(
    prefect_server: PrefectServer, config: MakeConfig, ml_client: Any, stage: str
) -> None:
    deleted: list[str] = []

    def delete_once(progress: StageEvent) -> None:
        if progress.stage == stage and progress.state == "running" and not deleted:
            deleted.extend(ours.endpoints(ml_client))
            ml_client.online_endpoints.begin_delete(deleted[0]).wait()

    with observing(delete_once):
        report = finetune(config("data.train.take=33", "compute.name=shared-endpoint"))

    assert deleted == [report.endpoint]
    assert report.outcome == "completed"
    assert report.answer
    assert report.deletion is not None
    assert report.deletion.state is EndpointEnd.DELETED
    assert ours.endpoints(ml_client) == []
