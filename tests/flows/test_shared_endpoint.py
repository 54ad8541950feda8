"""Runs of one job share its endpoint, and each may be the first to end."""

from __future__ import annotations

import re
from typing import Any

import pytest

from flows.finetune import finetune
from tasks.core.stage import StageEvent, observing
from tasks.delete import EndpointEnd
from tests.conftest import LetFail
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.flow_clock import FlowClock
from tests.support.prefect_server import PrefectServer

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("stage", ["deploy", "invoke"])
def test_an_endpoint_deleted_by_another_run_is_made_again(
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


def test_a_name_that_stays_taken_costs_the_run_a_few_minutes_and_no_more(
    prefect_server: PrefectServer,
    config: MakeConfig,
    ml_client: Any,
    let_fail: LetFail,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = {"kind": "status", "method": "PUT", "path": "onlineEndpoints/*", "status": 400, "count": 3}
    let_fail({**taken, "code": "BadRequest", "message": "There is already an endpoint with this name."})
    clock = FlowClock.installed(monkeypatch)
    report = finetune(config("data.train.take=33", "compute.name=shared-endpoint"))
    assert report.outcome == "completed"
    assert report.endpoint is not None
    assert re.fullmatch(r".+-completion-\d+-[0-9a-f]{6}", report.endpoint)
    assert clock.now >= 2 * 60
    assert report.deletion is not None
    assert (report.deletion.endpoint, report.deletion.state) == (report.endpoint, EndpointEnd.DELETED)
    assert ours.endpoints(ml_client) == []
