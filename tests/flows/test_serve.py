"""A run that serves: its model is rolled out behind an endpoint that stays."""

from __future__ import annotations

from uuid import uuid4

import pytest

from flows.run.config import parse
from tasks import endpoint
from tasks.azure import clients
from tasks.azure.failure import Failure
from tasks.core.lease import FOREVER, Lease
from tasks.delete import EndpointEnd
from tasks.rollout.turn import Turn
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.prefect_server import PrefectServer


def test_each_run_rolls_its_model_out_beside_the_one_before(
    prefect_server: PrefectServer, server: LocalServer, config: MakeConfig
) -> None:
    from flows.finetune import finetune

    name = f"ep-{uuid4().hex[:10]}"
    at_once = [f"deploy.rollout.{each}" for each in ("probes=2", "step_minutes=0", "grace_minutes=0")]
    serve = ("deploy.mode=serve", f"deploy.endpoint={name}", *at_once)
    first = finetune(config("data.train.take=41", *serve))
    second = finetune(config("data.train.take=42", *serve))

    session = sign_in.fn(Workspace())
    found = endpoint.find(session, name)
    behind = [each.name for each in clients.workspace(session).online_deployments.list(name)]
    assert behind == [f"demo-{second.model_version}"] != [f"demo-{first.model_version}"]
    assert {each: share for each, share in found.traffic.items() if share} == {behind[0]: 100}
    assert Turn.read(found.tags) is None
    lease = Lease.read(found.tags)
    assert lease is not None
    assert (lease.kept, lease.expires, lease.run) == (True, FOREVER, first.run)
    for report in (first, second):
        assert report.deletion is not None
        assert (report.deletion.state, report.deletion.until) == (EndpointEnd.KEPT, None)
        assert report.answer
        assert report.serving_usd > 0
    endpoint.remove(session, name, lease.run)


def test_an_endpoint_that_stays_needs_a_name() -> None:
    with pytest.raises(Failure, match="deploy.endpoint"):
        parse({"deploy": {"mode": "serve"}}, "any")
    with pytest.raises(Failure, match="end with 100"):
        parse({"deploy": {"rollout": {"steps": [50, 10]}}}, "any")
