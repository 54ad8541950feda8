"""A run that serves: its model is rolled out behind an endpoint that stays."""

from __future__ import annotations

import signal
from uuid import uuid4

import pytest

from flows.run.config import parse
from tasks import endpoint
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.failure import Failure
from tasks.core.lease import FOREVER, Lease
from tasks.core.stage import StageEvent, observing
from tasks.core.stages import Stage
from tasks.delete import EndpointEnd
from tasks.rollout.turn import Turn
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.prefect_server import PrefectServer


@pytest.mark.slow
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
    assert first.model_version != second.model_version
    assert served(session, name) == {f"demo-{second.model_version}": 100}
    found = endpoint.find(session, name)
    assert Turn.read(found.tags) is None
    lease = Lease.read(found.tags)
    assert lease is not None
    assert (lease.kept, lease.expires, lease.run) == (True, FOREVER, first.run)
    for report in (first, second):
        assert report.deletion is not None
        assert (report.deletion.state, report.deletion.until) == (EndpointEnd.KEPT, None)
        assert report.answer
        assert report.serving_usd > 0

    # Pressed when the third has a tenth of the traffic, Ctrl-C leaves the second with all of it.
    with observing(press_ctrl_c):
        state = finetune(config("data.train.take=43", *serve), return_state=True)
    assert state.is_cancelled()
    assert served(session, name) == {f"demo-{second.model_version}": 100}
    assert Turn.read(endpoint.find(session, name).tags) is None

    # The first model again, which the gate refuses now: it is asked without traffic, and taken back.
    refused = finetune(
        config("data.train.take=41", *serve, "evaluation.prompts=1", 'gate.rules=["rouge_l > 1"]')
    )
    assert (refused.gate, refused.job) == ("not passed", first.job)
    assert served(session, name) == {f"demo-{second.model_version}": 100}
    endpoint.remove(session, name, lease.run)


def press_ctrl_c(event: StageEvent) -> None:
    if event.stage is Stage.ROLL_OUT and " at 10 %: " in event.detail:
        signal.raise_signal(signal.SIGINT)


def served(session: Session, name: str) -> dict[str, int]:
    """The deployments behind the endpoint with their shares of its traffic."""
    traffic = endpoint.find(session, name).traffic
    behind = clients.workspace(session).online_deployments.list(name)
    return {each.name: traffic.get(each.name, 0) for each in behind}


def test_an_endpoint_that_stays_needs_a_name() -> None:
    with pytest.raises(Failure, match="deploy.endpoint"):
        parse({"deploy": {"mode": "serve"}}, "any")
    with pytest.raises(Failure, match="end with 100"):
        parse({"deploy": {"rollout": {"steps": [50, 10]}}}, "any")
