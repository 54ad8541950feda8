"""prefect.yaml: what it deploys exists, is described, and holds no value that a recipe holds."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from flows.history import history
from flows.operations.form import checked
from flows.run import config
from flows.run.config import load
from flows.run.life import SILENT_SECONDS
from flows.sweep import sweep
from flows.trials.grid import Sweep, trials
from tasks.azure.failure import Cause
from tests.support.checkout import ROOT
from tests.support.failures import fails

DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = [deployment["name"] for deployment in DEPLOYMENTS]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_every_deployment_says_what_it_is_for(deployment: dict[str, Any]) -> None:
    assert len(deployment["description"]) > 50
    assert deployment["tags"]
    assert deployment["work_pool"]["name"] == "finetune"
    assert (
        int(deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) * 5
        < SILENT_SECONDS
    )
    assert deployment["concurrency_limit"]["collision_strategy"] in ("ENQUEUE", "CANCEL_NEW")
    assert flow_at(deployment["entrypoint"]).description


@cache
def flow_at(entrypoint: str) -> Flow[..., Any]:
    """The flow as a worker loads it, whose module is executed for it."""
    flow: Flow[..., Any] = load_flow_from_entrypoint(str(ROOT / entrypoint), use_placeholder_flow=False)
    return flow


@pytest.mark.parametrize("flow", [sweep, history], ids=lambda flow: flow.name)
def test_the_form_says_what_every_parameter_is(flow: Flow[..., Any]) -> None:
    schema = parameter_schema(flow).model_dump()
    assert [name for name, each in schema["properties"].items() if not each.get("description")] == []
    # A type that may be null is a question to people; None is what such a parameter is when it is left out.
    asked = [name for name, each in schema["properties"].items() if "anyOf" in each]
    assert flow is history or asked == []


def test_the_sweep_that_is_deployed_can_be_run() -> None:
    (deployed,) = (each for each in DEPLOYMENTS if each["name"] == "sweep")
    found = trials(Sweep.model_validate(deployed["parameters"]))
    assert [trial.config.parameters.training.learning_rate for trial in found] == [5e-6, 2e-5]


def test_only_what_watches_and_tidies_up_runs_by_itself() -> None:
    schedules = {
        deployment["name"]: [bool(schedule.get("active", True)) for schedule in deployment["schedules"]]
        for deployment in DEPLOYMENTS
    }
    assert {name for name, active in schedules.items() if any(active)} == {"watcher", "reap", "history"}
    weekly = next(each for each in DEPLOYMENTS if each["name"] == "weekly")["schedules"]
    assert [(each["cron"], each["timezone"]) for each in weekly] == [("0 6 * * 1", "Europe/Berlin")]


def test_every_fine_tune_goes_by_a_recipe_and_holds_no_value_of_one() -> None:
    for deployment in DEPLOYMENTS:
        if deployment["entrypoint"] == "flows/finetune.py:finetune":
            assert deployment["parameters"].keys() == {"recipe"}
            load(deployment["parameters"]["recipe"])


def test_the_directory_deployed_from_is_where_a_worker_finds_the_flows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    assert checked() == {"clone": str(ROOT)}


def test_a_recipe_that_is_none_is_refused_before_anything_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "RECIPES", tmp_path)
    (tmp_path / "wrong.yaml").write_text("deploy: {instance_count: 0}")
    with fails(Cause.CONFIGURATION, "deploy.instance_count"):
        checked()
