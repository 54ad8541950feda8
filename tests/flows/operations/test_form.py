"""prefect.yaml: what it deploys exists, is described, and holds no value that a recipe holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.operations.form import filled
from flows.operations.healing import SILENT_SECONDS
from flows.run.config import Finetune, load
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
    flow: Flow[..., Any] = load_flow_from_entrypoint(
        str(ROOT / deployment["entrypoint"]), use_placeholder_flow=False
    )
    assert flow.description


def test_only_what_watches_and_tidies_up_runs_by_itself() -> None:
    schedules = {
        deployment["name"]: [bool(schedule.get("active", True)) for schedule in deployment["schedules"]]
        for deployment in DEPLOYMENTS
    }
    assert {name for name, active in schedules.items() if any(active)} == {"watcher", "reap", "history"}
    weekly = next(each for each in DEPLOYMENTS if each["name"] == "weekly")["schedules"]
    assert [(each["cron"], each["timezone"]) for each in weekly] == [("0 6 * * 1", "Europe/Berlin")]


@pytest.mark.parametrize("recipe", ["local", "phi-4-ultrachat"])
def test_a_form_holds_the_whole_recipe(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    outputs = filled(recipe)
    assert Finetune.model_validate(outputs["config"]) == load(recipe)
    assert set(outputs["config"]) == set(Finetune.model_fields)
    assert outputs["clone"] == str(ROOT)


def test_every_fine_tune_takes_its_form_from_a_recipe_and_from_nowhere_else() -> None:
    for deployment in DEPLOYMENTS:
        if deployment["entrypoint"] != "flows/finetune.py:finetune":
            continue
        assert deployment["parameters"] == {"config": "{{ config }}"}
        _, step = deployment["build"]
        load(step["flows.operations.form.filled"]["recipe"])


def test_a_recipe_that_is_none_is_refused_before_anything_is_deployed(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("deploy: {instance_count: 0}")
    with fails(Cause.CONFIGURATION, "deploy.instance_count"):
        filled(str(wrong))
