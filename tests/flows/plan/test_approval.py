"""A deployment's run that waits for a yes, in this process and on a real server of Prefect's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.flow_runs import resume_flow_run

from flows.finetune import finetune
from flows.plan.approval import APPROVED
from flows.plan.page import KEY
from flows.run import parameters
from flows.run.suspension import Suspension
from tasks.azure.failure import Cause, Failure
from tests.flows.conftest import MakeConfig
from tests.support.failures import fails
from tests.support.past_runs import PastRuns, past_runs
from tests.support.prefect_server import PrefectServer

# A yes is followed by what fails soonest after it.
STOPS = ("compute.name=not-there", "compute.create=false")


@pytest.fixture
def past(prefect_server: PrefectServer, environment: dict[str, str]) -> Iterator[PastRuns]:
    with past_runs() as made:
        yield made


def asked(past: PastRuns, config: MakeConfig, *changes: str) -> FlowRun:
    """A deployment's run that has got as far as its question."""
    wanted = parameters.of(config("approval.required=true", *STOPS, *changes))
    with get_client(sync_client=True) as client:
        flow_id = client.create_flow(finetune)
        deployment = client.create_deployment(flow_id, f"approved-{past.client.api_url.port}", parameters={})
        past.deployments.append(deployment)
    run = past.of(deployment, parameters=wanted)
    again(past, run)
    return past.read(run.id)


def again(past: PastRuns, run: FlowRun) -> None:
    """What a worker does with a run that is scheduled."""
    found = past.read(run.id)
    with suppress(Pause):  # which ends the process of a worker's run
        run_flow(finetune, flow_run=found, parameters=dict(found.parameters), return_type="state")


def artifact(client: SyncPrefectClient, run: UUID) -> str:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    (found,) = (each for each in client.read_artifacts(artifact_filter=wanted) if each.key == KEY)
    return str(found.data)


@pytest.mark.slow
def test_the_run_is_suspended_with_its_plan_and_goes_on_after_a_yes(
    past: PastRuns, config: MakeConfig, ml_client: Any
) -> None:
    run = asked(past, config, "approval.hours=2")
    assert run.state is not None
    assert run.state.is_paused()
    details = run.state.state_details
    assert (details.pause_reschedule, Suspension.read(details.pause_key)) == (True, None)
    assert details.pause_timeout is not None
    shown = artifact(past.client, run.id)
    assert "not-there" in shown
    assert "## Cost" in shown
    resume_flow_run(run.id, run_input={"approve": True, "note": "go"})
    again(past, run)
    ended = past.read(run.id)
    assert ended.state is not None
    assert ended.state.is_failed()
    assert "The cluster 'not-there' does not exist" in (ended.state.message or "")
    assert APPROVED in ended.tags


@pytest.mark.slow
def test_a_no_ends_the_run(past: PastRuns, config: MakeConfig) -> None:
    run = asked(past, config)
    resume_flow_run(run.id, run_input={"approve": False, "note": "too expensive"})
    again(past, run)
    ended = past.read(run.id)
    assert ended.state is not None
    assert ended.state.is_failed()
    assert "was not approved: too expensive" in (ended.state.message or "")
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
    rows = [
        each.data for each in past.client.read_artifacts(artifact_filter=wanted) if each.key == "finetune-run"
    ]
    assert json.loads(str(rows[0]))[0]["cause"] == Cause.CANCELLED


def test_only_a_deployment_waits_for_an_approval(config: MakeConfig, prefect_server: PrefectServer) -> None:
    with fails(Cause.CONFIGURATION, "Leave approval out", "prefect deployment run finetune/ad-hoc"):
        state = finetune(config("approval.required=true"), return_state=True)
        failure = state.result(raise_on_failure=False)
        assert isinstance(failure, Failure)
        raise failure
