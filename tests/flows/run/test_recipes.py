"""Each recipe against the registry: its sizes are on the model's lists, its parameters fit the component."""

from __future__ import annotations

from typing import Any

import pytest

from flows.run.config import load, names
from tasks.azure import sizes
from tasks.base_model import find_model
from tasks.deploy import check_deployment
from tasks.job.parameters import inputs_of, merge
from tasks.model_version import check_training_size
from tasks.sign_in import Workspace, sign_in


@pytest.mark.parametrize("recipe", names())
def test_the_model_takes_what_the_recipe_asks_for(recipe: str, registry_client: Any) -> None:
    config, session = load(recipe), sign_in.fn(Workspace())
    base = find_model.fn(session, config.base)
    assert base.finetune_sizes, "the model must have a list to check the recipe against"
    check_training_size(sizes.find(session, config.compute.size), base)
    check_deployment.fn(session, config.deploy, base)
    component = registry_client.components.get(config.pipeline.component, label="latest")
    merged = merge(config.parameters, base.defaults, inputs_of(component))
    chosen = config.parameters.set_by_user()
    assert {name for name, origin in merged.origin.items() if origin == "user"} == set(chosen)
