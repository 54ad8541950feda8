"""A run's parameters: over its recipe, and over what its deployment sets."""

from __future__ import annotations

from typing import Any

import pytest

from flows.run.config import load, names
from flows.run.parameters import config_in, document, of
from tasks.azure.failure import Cause
from tests.support.failures import fails

OWN: dict[str, Any] = {
    "recipe": "local",
    "settings": {"budget_usd": 7, "share": "20%"},
    "wait": {"poll_seconds": 2},
    "compute": {"idle_seconds": 600},
}


@pytest.mark.parametrize("recipe", names())
def test_a_recipe_alone_is_its_configuration(recipe: str) -> None:
    assert config_in({"recipe": recipe}) == load(recipe)


@pytest.mark.parametrize("recipe", names())
def test_a_whole_configuration_comes_back_from_its_parameters(recipe: str) -> None:
    changed = load(recipe, ["wait.budget_usd=null", "base.version=null", "deploy.keep_endpoint=4h"])
    assert config_in(of(changed)) == changed


def test_a_group_of_runs_has_the_configuration_that_all_of_them_share() -> None:
    given = {
        "recipe": "local",
        "tries": [{"setting": "a.b", "values": ["1"]}],
        "changes": ["data.train.take=9"],
    }
    assert config_in(given) == load("local", ["data.train.take=9"])


def test_settings_and_sections_go_over_the_recipe_field_by_field() -> None:
    config = config_in({"recipe": "local", "settings": {"epochs": 2}, "wait": {"mode": "suspend"}})
    assert config == load("local", ["parameters.training.num_train_epochs=2", "wait.mode=suspend"])


def over(given: dict[str, Any]) -> dict[str, Any]:
    """The document of a deployment's run, whose parameters Prefect puts in the place of the deployment's."""
    return document({**OWN, **given}, OWN)


def test_what_a_run_leaves_out_is_its_deployments() -> None:
    found = over({"settings": {"fresh": True}, "wait": {"timeout_hours": 3}})
    assert found["wait"] == {"timeout_hours": 3, "poll_seconds": 2, "budget_usd": 7}
    assert found["data"]["train"] == {"name": "train_sft", "take": "20%"}
    assert found["fresh"] is True
    assert found["compute"]["idle_seconds"] == 600


def test_a_section_that_is_closed_in_the_form_is_as_in_the_recipe() -> None:
    assert "idle_seconds" not in over({"compute": None})["compute"]
    assert over({"wait": None})["wait"]["poll_seconds"] == 1


def test_a_runs_recipe_goes_under_what_its_deployment_sets() -> None:
    found = over({"recipe": "phi-4-ultrachat"})
    assert found["base"] == {"name": "Phi-4", "version": "8"}
    assert found["wait"] == {"timeout_hours": 12, "poll_seconds": 2, "budget_usd": 7}


def test_another_dataset_brings_its_own_splits_along() -> None:
    data = config_in({"recipe": "local", "settings": {"dataset": "mine.jsonl"}}).data
    assert (data.train.name, data.train.take, data.test.name, data.test.take) == (None, "50%", None, "100%")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": {"lora_r": 4}}, "lora_r: no such field"),
        ({"settings": "fast"}, "settings: no such field"),
        ({"wait": 5}, "wait: Input should be"),
        ({"data": "sample", "settings": {"share": "5"}, "recipe": "custom"}, "data"),
        ({"deploy": {"keep_endpoint": "soon"}}, "no duration"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], said: str) -> None:
    with fails(Cause.CONFIGURATION, said):
        config_in(given)
