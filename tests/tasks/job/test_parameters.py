"""Whose value holds, and what the component is given."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.azure.failure import Cause
from tasks.job.parameters import ComponentInput, Optimisation, Parameters, Training, fit, merge
from tests.support.failures import fails

COMPONENT = {
    "num_train_epochs": ComponentInput(type="integer", minimum=1),
    "per_device_train_batch_size": ComponentInput(type="integer", minimum=1),
    "learning_rate": ComponentInput(type="number"),
    "lr_scheduler_type": ComponentInput(type="string", enum=("linear", "cosine")),
    "apply_lora": ComponentInput(type="string", enum=("true", "false")),
    "deepspeed_stage": ComponentInput(type="string", enum=("2", "3")),
    "precision": ComponentInput(type="string", enum=("16", "32")),
}


def test_the_user_goes_before_the_model_and_the_model_before_the_project() -> None:
    effective = merge(
        Parameters(training=Training(learning_rate=1e-4)),
        {"num_train_epochs": 1, "learning_rate": 5e-6},
        COMPONENT,
    )
    assert effective.values["learning_rate"] == 1e-4
    assert effective.origin["learning_rate"] == "user"
    assert effective.values["num_train_epochs"] == 1
    assert effective.origin["num_train_epochs"] == "model"
    assert effective.overridden["num_train_epochs"] == "3 (project)"
    assert effective.values["lr_scheduler_type"] == "cosine"
    assert effective.origin["lr_scheduler_type"] == "project"


def test_what_the_component_lacks_is_left_out_and_said() -> None:
    effective = merge(Parameters(), {"learning_rate_min": 5e-7}, COMPONENT)
    assert "learning_rate_min" not in effective.values
    assert effective.dropped["learning_rate_min"] == "set by the model; the component has no such input"
    assert "apply_deepspeed" in effective.dropped


def test_a_name_of_the_users_that_the_component_lacks_is_refused_with_the_nearest() -> None:
    with fails(Cause.CONFIGURATION, "'learning_rat'", "learning_rate"):
        merge(Parameters(more={"learning_rat": 1.0}), {}, COMPONENT)


def test_enumerations_are_strings_on_the_wire() -> None:
    effective = merge(
        Parameters(optimisation=Optimisation(apply_lora=False, deepspeed_stage=3, precision=16)),
        {},
        COMPONENT,
    )
    assert effective.values["apply_lora"] == "false"
    assert effective.values["deepspeed_stage"] == "3"
    assert effective.values["precision"] == "16"


@pytest.mark.parametrize(
    ("value", "slot", "fitting"),
    [
        ("16", ComponentInput(type="integer"), 16),
        (16.0, ComponentInput(type="integer"), 16),
        ("5e-6", ComponentInput(type="number"), 5e-6),
        (True, ComponentInput(type="string", enum=("true", "false")), "true"),
        ("True", ComponentInput(type="string", enum=("True", "False")), "True"),
    ],
)
def test_values_are_made_to_fit(value: Any, slot: ComponentInput, fitting: Any) -> None:
    assert fit(value, slot) == fitting
    assert type(fit(value, slot)) is type(fitting)


@pytest.mark.parametrize(
    ("value", "slot", "reason"),
    [
        (1.5, ComponentInput(type="integer"), "whole number"),
        (0, ComponentInput(type="integer", minimum=1), "at least 1"),
        ("quick", ComponentInput(type="number"), "must be a number"),
        (True, ComponentInput(type="integer"), "must be a number"),
        (4, ComponentInput(type="string", enum=("2", "3")), "one of 2, 3"),
    ],
)
def test_what_cannot_fit_says_why(value: Any, slot: ComponentInput, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fit(value, slot)


def test_a_models_value_that_does_not_fit_is_left_out_and_a_users_is_refused() -> None:
    effective = merge(Parameters(), {"precision": 8}, COMPONENT)
    assert "one of 16, 32" in effective.dropped["precision"]
    with fails(Cause.CONFIGURATION, "num_train_epochs must be at least 1"):
        merge(Parameters(more={"num_train_epochs": 0}), {}, COMPONENT)
