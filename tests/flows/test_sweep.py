"""Several settings as one group of runs, through the real SDKs and with a component that takes a second."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from typer.testing import CliRunner

from flows.dashboard import comparison
from flows.dashboard.difference import differing
from flows.run.flow_runs import FLOW, TRIAL, flow_runs
from flows.terminal.cli import app
from flows.trials.grid import Trial, Try
from flows.trials.watching import watched
from tasks.azure import listing
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import RUN, is_held_by
from tasks.core.stage import StageEvent, StageState
from tasks.core.stages import Stage
from tasks.sections.workspace import Workspace
from tasks.sign_in import sign_in
from tests.conftest import LocalServer, know_the_cloud
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import RECIPE, UNSERVED

pytestmark = pytest.mark.slow

RATE = "parameters.training.learning_rate"
MODEL = "swept"
# The gate lets nothing pass, and it asks no endpoint: what is looked at here is how a winner comes to it.
SHARED = ("data.train.take=37", f"registration.name={MODEL}", UNSERVED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where all of these runs prepare their data, which is the same."""
    return f"data.directory={tmp_path_factory.mktemp('data')}"


@pytest.fixture(scope="module")
def first(
    prefect_server: PrefectServer, server: LocalServer, tiny: str, folder: str
) -> Iterator[dict[str, Any]]:
    """What the command prints of three runs, of which one fails, two at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        know_the_cloud(server.environment["AZUREML_CURRENT_CLOUD"])
        changes = [f"--set={change}" for change in (*SHARED, folder)]
        tries = ["--try", f"{RATE}=0.01,5,0.02", "--parallel", "2"]
        said = CliRunner().invoke(app, ["sweep", str(RECIPE), *tries, *changes, "--json"])
        assert said.exit_code == 0, said.stderr
        yield json.loads(said.stdout)


def test_the_others_go_on_when_one_fails(first: dict[str, Any]) -> None:
    one, failed, two = first["tried"]
    assert [one["end"], failed["end"], two["end"]] == ["trained", "failed", "trained"]
    assert "learning rate 5 is too high" in failed["failure"]
    assert one["eval_loss"] < one["base_loss"]
    assert {each["reused"] for each in first["tried"]} == {False}
    assert len({each["job"] for each in first["tried"]}) == 3


def test_only_the_winner_comes_to_the_gate_and_no_endpoint_is_made_of_the_others(
    first: dict[str, Any], ml_client: Any
) -> None:
    final = first["final"]
    assert first["winner"] == 1  # of equal losses the first
    assert (final["job"], final["gate"], final["endpoint"]) == (first["tried"][0]["job"], "not passed", None)
    assert final["training_usd"] == 0  # it was paid for by the group
    jobs = {each["job"] for each in first["tried"]}
    versions = [ml_client.models.get(MODEL, each.version) for each in ml_client.models.list(name=MODEL)]
    registered = [each.tags["finetune.job"] for each in versions]
    assert [job for job in registered if job in jobs] == [final["job"]]
    assert [each.name for each in ml_client.online_endpoints.list() if "sample-completion" in each.name] == []


def test_each_run_is_one_of_prefects_below_the_group_and_can_be_compared(first: dict[str, Any]) -> None:
    below = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[first["sweep"]]))
    with get_client(sync_client=True) as client:
        names = {run.name: run.state_name for run in flow_runs(client, below, flows=(TRIAL,))}
        assert len(list(flow_runs(client, below, flows=(FLOW,)))) == 1
    assert names == {
        **{"learning_rate 0.01": "Completed", "learning_rate 5": "Failed", "learning_rate 0.02": "Completed"}
    }
    one, _, two = first["tried"]
    differ = differing([run.row for run in comparison.read([one["run"], two["run"]])])
    assert differ[RATE] == [0.01, 0.02]
    assert differ["job"] == [one["job"], two["job"]]
    assert "sweep" not in differ


def test_nothing_is_paid_for_twice(first: dict[str, Any], environment: dict[str, str], folder: str) -> None:
    one, _, two = first["tried"]
    again = swept(folder, "0.02", "0.01").result()
    assert [each.job for each in again.tried] == [two["job"], one["job"]]
    assert {each.reused for each in again.tried} == {True}
    assert again.training_usd == 0


def test_an_interrupt_cancels_the_jobs_and_keeps_what_was_found(
    prefect_server: PrefectServer, environment: dict[str, str], tiny: str, folder: str
) -> None:
    jobs: set[str] = set()

    def press_ctrl_c(trial: Trial, event: StageEvent) -> None:
        if event.stage is Stage.TRAIN and event.state is StageState.RUNNING and not jobs:
            jobs.add("one")
            os.kill(os.getpid(), signal.SIGINT)

    with watched(press_ctrl_c):
        state = swept(folder, "0.03", "0.04", "parameters.more.seconds=600")
    assert state.is_cancelled()
    assert "1 cancelled, 1 not started" in state.message
    session = sign_in.fn(Workspace())
    group = str(state.state_details.flow_run_id)
    held = [job for job in listing.jobs(session, tag=RUN) if is_held_by(job.tags, group)]
    assert [job.is_live and job.state != "CancelRequested" for job in held] == [False]


def test_the_group_ends_at_its_budget(
    prefect_server: PrefectServer, environment: dict[str, str], tiny: str, folder: str
) -> None:
    state = swept(folder, "0.05", "0.06", "parameters.more.seconds=600", budget_usd=1e-6)
    failure = state.result(raise_on_failure=False)
    assert isinstance(failure, Failure)
    assert failure.cause is Cause.BUDGET
    assert "1 stopped, 1 not started" in str(failure)


def swept(folder: str, *values_and_changes: str, **over: Any) -> Any:
    """The state of a sweep over learning rates; what is no number is a change of all runs."""
    from flows.sweep import sweep

    changes = [each for each in values_and_changes if "=" in each]
    values = tuple(each for each in values_and_changes if "=" not in each)
    return sweep(
        recipe=str(RECIPE),
        tries=[Try(setting=RATE, values=values)],
        changes=[*SHARED, folder, *changes],
        return_state=True,
        **over,
    )
