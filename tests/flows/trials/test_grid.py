"""The grid: which combinations are trained, and what is wrong with one said before anything is spent."""

from __future__ import annotations

import pytest

from flows.trials import grid
from flows.trials.grid import Sweep, Try
from tasks.azure.failure import Cause
from tests.support.failures import fails

RATE = "parameters.training.learning_rate"
EPOCHS = "parameters.training.num_train_epochs"


def sweep(*tries: str, **over: object) -> Sweep:
    return Sweep.model_validate({"recipe": "local", "tries": tuple(map(Try.read, tries)), **over})


def test_every_combination_is_a_run_of_its_own() -> None:
    found = grid.trials(sweep(f"{RATE}=1e-5,5e-5", f"{EPOCHS}=1,2", changes=("data.train.take=20",)))
    assert [trial.title for trial in found] == [
        *("learning_rate 1e-5, num_train_epochs 1", "learning_rate 1e-5, num_train_epochs 2"),
        *("learning_rate 5e-5, num_train_epochs 1", "learning_rate 5e-5, num_train_epochs 2"),
    ]
    training = [trial.config.parameters.training for trial in found]
    assert [each.learning_rate for each in training] == [1e-5, 1e-5, 5e-5, 5e-5]
    assert [each.num_train_epochs for each in training] == [1, 2, 1, 2]
    assert {trial.config.data.train.take for trial in found} == {"20"}
    assert [trial.number for trial in found] == [1, 2, 3, 4]


def test_a_sample_is_drawn_by_its_seed_also_of_a_million() -> None:
    values = ",".join(f"{n}e-6" for n in range(1, 1001))
    seeds = ",".join(map(str, range(1000)))
    million = (f"{RATE}={values}", f"parameters.training.seed={seeds}")
    drawn = [each.title for each in grid.trials(sweep(*million, sample=3, seed=7))]
    assert len(drawn) == 3
    assert drawn == [each.title for each in grid.trials(sweep(*million, sample=3, seed=7))]
    assert drawn != [each.title for each in grid.trials(sweep(*million, sample=3, seed=8))]
    assert len(grid.trials(sweep(f"{RATE}=1e-5,5e-5", sample=9))) == 2
    with fails(Cause.CONFIGURATION, "1,000,000 runs", "--sample"):
        grid.trials(sweep(*million))


def test_a_run_of_a_group_waits_in_its_process_and_is_not_asked_about() -> None:
    over = ("approval.required=true", "wait.mode=suspend")
    (trial,) = grid.trials(sweep(f"{RATE}=1e-5", changes=over))
    assert (trial.config.approval.required, trial.config.wait.mode) == (False, "poll")


def test_a_budget_of_the_group_is_one_of_each_run_as_well() -> None:
    """A price that is not known is refused then: no budget could be kept."""
    (trial,) = grid.trials(sweep(f"{RATE}=1e-5", budget_usd=3.5))
    assert trial.config.wait.budget_usd == 3.5
    (trial,) = grid.trials(sweep(f"{RATE}=1e-5", budget_usd=3.5, changes=("wait.budget_usd=2",)))
    assert trial.config.wait.budget_usd == 2


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        (["parameters.training.lerning_rate=1"], f"did you mean {RATE}?"),
        (["learning_rate=1"], f"did you mean {RATE}?"),
        (["paramters.training.seed=1"], "did you mean parameters?"),
        ([f"{RATE}=1e-5,-1"], f"{RATE}: Input should be greater than 0"),
        (
            [f"{RATE}=1e-5,0.00001"],
            "would be the same: learning_rate 1e-5, and learning_rate 0.00001",
        ),
        ([f"{RATE}=1e-5", f"{RATE}=2e-5"], f"{RATE} is tried twice"),
        ([f"{RATE}="], "expected section.field=value,value"),
        ([RATE], "expected section.field=value,value"),
        ([f"{RATE}=[1"], "expected section.field=value,value"),
        (["deploy.instance_count=1,2"], "deploy.instance_count does not change what is trained"),
        (["wait.budget_usd=1,2"], "does not change what is trained"),
        ([], "nothing to try"),
    ],
)
def test_what_is_wrong_is_one_line(tries: list[str], said: str) -> None:
    with fails(Cause.CONFIGURATION, said):
        grid.trials(sweep(*tries))


def test_a_recipe_that_trains_everything_again_cannot_be_swept() -> None:
    with fails(Cause.CONFIGURATION, "fresh"):
        grid.trials(sweep(f"{RATE}=1e-5", changes=("fresh=true",)))
