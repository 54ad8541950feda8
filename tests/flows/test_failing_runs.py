"""Runs that fail: what they say, what their report keeps, and that nothing is still billed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.run.report import RunReport
from tasks.azure.failure import Cause, Failure
from tasks.core import outage
from tasks.delete import EndpointEnd
from tests.conftest import LetFail, LocalServer
from tests.flows.conftest import MakeConfig
from tests.flows.reports import report_of
from tests.support.prefect_server import PrefectServer

pytestmark = pytest.mark.slow

FailingRun = Callable[..., tuple[Failure, RunReport]]


@pytest.fixture
def failing(prefect_server: PrefectServer, config: MakeConfig) -> FailingRun:
    """Runs the flow; its failure, and the report that it leaves nevertheless."""
    from flows.finetune import finetune

    def run(*changes: str) -> tuple[Failure, RunReport]:
        state = finetune(config("data.train.take=20", "compute.name=failing", *changes), return_state=True)
        assert state.is_failed()
        failure = state.result(raise_on_failure=False)
        assert isinstance(failure, Failure)
        return failure, report_of(str(state.state_details.flow_run_id))

    return run


def test_a_crashed_deployment_costs_nothing_afterwards(
    failing: FailingRun, let_fail: LetFail, server: LocalServer
) -> None:
    let_fail({"kind": "crash", "path": "/onlineEndpoints/*/deployments/demo", "count": None})
    failure, report = failing()
    assert (failure.cause, report.cause) == (Cause.DEPLOYMENT, Cause.DEPLOYMENT)
    assert "Log of demo:" in failure.details
    assert (report.outcome, report.failed_stage) == ("failed", "deploy")
    assert report.failure == str(failure)
    assert report.model is not None  # what was paid for is kept
    assert report.deletion is not None
    assert report.deletion.state is EndpointEnd.DELETED
    assert running(server) == []


def test_an_empty_answer_is_a_failure_and_the_endpoint_goes(
    failing: FailingRun, let_fail: LetFail, server: LocalServer
) -> None:
    rule = {"kind": "status", "method": "POST", "path": "/**/score", "status": 200, "body": {}}
    let_fail({**rule, "count": None})
    failure, report = failing()
    assert (failure.cause, report.cause) == (Cause.ANSWER, Cause.ANSWER)
    assert "an empty answer" in str(failure)
    assert (report.failed_stage, report.answer) == ("invoke", None)
    assert report.deletion is not None
    assert running(server) == []


def test_a_failed_job_is_not_deployed_and_its_cluster_goes(
    failing: FailingRun, server: LocalServer, ml_client: Any
) -> None:
    own = ("compute.name=goes-with-its-run", "compute.keep=false")
    failure, report = failing("parameters.training.learning_rate=2", *own)
    assert (failure.cause, report.cause) == (Cause.JOB, Cause.JOB)
    assert "RuntimeError: the loss is not a number: learning rate 2 is too high" in str(failure)
    assert (report.failed_stage, report.endpoint, report.model) == ("train", None, None)
    assert report.job is not None
    assert ml_client.jobs.get(report.job).status == "Failed"
    assert "goes-with-its-run" not in [cluster.name for cluster in ml_client.compute.list()]
    assert running(server) == []


def test_a_refused_size_costs_no_job(failing: FailingRun, server: LocalServer) -> None:
    failure, report = failing("deploy.instance_type=Standard_NC6s_v3")
    assert (failure.cause, report.cause) == (Cause.COMPUTE, Cause.COMPUTE)
    assert "Standard_NC6s_v3" in str(failure)
    assert (report.failed_stage, report.job) == ("deploy check", None)
    assert running(server) == []


def test_every_stage_outlasts_an_outage(
    prefect_server: PrefectServer,
    config: MakeConfig,
    let_fail: Callable[..., None],
    server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And what asks between two stages, such as for the version that was promoted last."""
    from flows.finetune import finetune

    monkeypatch.setattr(outage, "sleep", lambda seconds: None)
    # More often than a stage is tried again for other reasons, and the SDK at each of those times.
    busy = {"kind": "status", "status": 503, "headers": {"Retry-After": "0.01"}, "count": 30}
    calls = (
        ("GET", "/**/computes/*"),
        ("GET", "/**/models/*/versions"),
        ("PUT", "/**/onlineEndpoints/*"),
        ("PUT", "/**/onlineEndpoints/*/deployments/demo"),
        ("POST", "/**/score"),
        ("DELETE", "/**/onlineEndpoints/*"),
    )
    let_fail(*({**busy, "method": method, "path": path} for method, path in calls))
    report = finetune(config("data.train.take=21"))
    assert report.outcome == "completed"
    hit = [len(rule["hit"]) for rule in server.admin("faults")["faults"]]
    assert hit == [30] * len(calls)
    assert running(server) == []


def running(server: LocalServer) -> list[dict[str, Any]]:
    """What the workspace bills at this moment."""
    return [row for row in server.admin("ledger")["rows"] if row["running"]]
