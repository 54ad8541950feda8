"""A run's name: whose it is to say, and what tells it from others of its recipe."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from coolname import generate_slug

from flows.run.config import load, parse
from flows.run.run_name import is_given, name_of

BEGUN = datetime(2026, 11, 26, 6, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", ["my-first-run", "nightly", "my-run", "Monday, again"])
def test_a_name_that_somebody_has_typed_stays(name: str) -> None:
    assert is_given(name)


def test_a_name_that_prefect_has_made_up_does_not() -> None:
    made_up = ["Refined-Tapir", *(generate_slug(2) for _ in range(200))]
    assert [name for name in made_up if is_given(name)] == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ([], "local 26 Nov 06:05"),
        (["parameters.training.num_train_epochs=2"], "local 26 Nov 06:05, num_train_epochs 2"),
        (["fresh=true", "wait.budget_usd=0.5"], "local 26 Nov 06:05, fresh on, budget_usd 0.5"),
        (["data.train.take=12", "data.test.take=4"], "local 26 Nov 06:05, train.take 12, test.take 4"),
        (["data.dataset=https://example.com/a/mine.jsonl?sig=1"], "local 26 Nov 06:05, dataset mine.jsonl"),
        (
            ["workspace.where=azure", "base.version=3", "deploy.instance_count=2", "invoke.seed=1"],
            "local 26 Nov 06:05, where azure, version 3, +2",
        ),
    ],
)
def test_runs_of_one_recipe_differ_by_what_they_have_changed(changes: list[str], name: str) -> None:
    assert name_of(load("local", changes), BEGUN) == name


def test_a_recipe_of_ones_own_is_not_compared_with_anything() -> None:
    assert name_of(parse({"wait": {"budget_usd": 3}}, "mine"), BEGUN) == "mine 26 Nov 06:05"
