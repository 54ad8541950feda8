"""Recipes and changes to them; every wrong input is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.run.config import Finetune, apply, load, names
from tasks.azure.failure import Cause
from tasks.deploy import Deploy
from tests.support.failures import fails


@pytest.mark.parametrize("recipe", names())
def test_every_recipe_is_a_configuration(recipe: str) -> None:
    config = load(recipe)
    assert config.recipe == recipe
    assert Finetune.model_validate(config.model_dump(mode="json")) == config


def test_the_default_recipe_spends_nothing() -> None:
    assert load("local").workspace.where == "local"
    assert Finetune().workspace.where == "local"


def test_the_tutorials_recipe_has_its_values() -> None:
    config = load("phi-3-mini-ultrachat")
    training, optimisation = config.parameters.training, config.parameters.optimisation
    assert (training.num_train_epochs, training.learning_rate, training.lr_scheduler_type) == (
        3,
        5e-6,
        "cosine",
    )
    assert (training.per_device_train_batch_size, training.per_device_eval_batch_size) == (1, 1)
    assert (optimisation.apply_lora, optimisation.apply_deepspeed, optimisation.deepspeed_stage) == (
        True,
        True,
        2,
    )
    assert (config.invoke.temperature, config.invoke.top_p, config.invoke.max_new_tokens) == (0.6, 0.9, 200)
    assert config.invoke.do_sample


def test_changes_reach_any_depth_and_are_read_as_yaml() -> None:
    config = load(
        "local",
        [
            "parameters.training.num_train_epochs=2",
            "fresh=true",
            "deploy.keep_endpoint=4h",
            "wait.budget_usd=1.5",
        ],
    )
    assert config.parameters.training.num_train_epochs == 2
    assert config.fresh
    assert config.deploy.kept_hours() == 4
    assert config.wait.budget_usd == 1.5


def test_changes_leave_the_document_as_it_was() -> None:
    body = {"deploy": {"instance_count": 1}}
    assert apply(body, ["deploy.instance_count=2"]) == {"deploy": {"instance_count": 2}}
    assert body == {"deploy": {"instance_count": 1}}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("deploy.instance_cont=2", "deploy.instance_cont: no such field"),
        ("deploy.instance_count=0", "deploy.instance_count: Input should be greater than or equal to 1"),
        ("deploy.keep_endpoint=soon", "no duration such as 30m, 4h or 2d"),
        ("deploy.deployment=base", "name of the base model's deployment"),
        ("compute.nodes=3", "queued for ever"),
        ("workspace.name=mine", "set where to azure"),
        ("recipe.now=1", "recipe: Input should be a valid string"),
        ("fresh.now=1", "fresh: Input should be a valid boolean"),
        ("nothing", "Write --set section.field=value"),
        ("a=[", "cannot be read"),
    ],
)
def test_a_wrong_change_is_one_readable_line(change: str, line: str) -> None:
    with fails(Cause.CONFIGURATION, line):
        load("local", [change])


def test_a_recipe_that_does_not_exist_names_those_that_do() -> None:
    with fails(Cause.CONFIGURATION, "recipe 'locale'", "local, phi-3-mini-ultrachat, phi-4-ultrachat"):
        load("locale")


def test_a_file_that_is_no_recipe_says_so(tmp_path: Path) -> None:
    broken, listed = tmp_path / "broken.yaml", tmp_path / "list.yaml"
    broken.write_text("a: [1")
    listed.write_text("- 1")
    with fails(Cause.CONFIGURATION, str(broken), "YAML"):
        load(str(broken))
    with fails(Cause.CONFIGURATION, str(listed), "`base:`"):
        load(str(listed))


def test_the_endpoint_is_kept_for_ever_only_when_that_is_said() -> None:
    assert Deploy(keep_endpoint="forever").kept_hours() is None
    assert Deploy(keep_endpoint="30m").kept_hours() == 0.5
    assert Deploy().keep_endpoint is None
