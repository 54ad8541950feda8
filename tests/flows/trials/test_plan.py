"""The plan of a group: how many runs, and the most that they can cost together."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from flows.plan import shipped
from flows.terminal.cli import app
from flows.trials import grid
from flows.trials.grid import Sweep, Try
from flows.trials.plan import SweepPlan, plan_of_group, same

RATES = "parameters.training.learning_rate=1e-5,5e-5,2e-4"


def plan(*tries: str, **over: object) -> SweepPlan:
    wanted = Sweep.model_validate(
        {"recipe": "phi-4-ultrachat", "tries": tuple(map(Try.read, tries or (RATES,))), **over}
    )
    return plan_of_group(wanted, grid.trials(wanted), shipped.facts, same)


def finetune(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sweep", "phi-4-ultrachat", *arguments])


def test_all_runs_together_cost_what_each_may_or_the_budget_of_the_group() -> None:
    alone = plan()
    assert [each.at_most for each in alone.planned] == [40.0] * 3  # the recipe's budget
    assert alone.training == 120
    assert alone.most == pytest.approx(120 + (alone.serving or 0))
    assert plan(budget_usd=60).training == 60
    assert plan(budget_usd=5000).training == 120
    assert alone.must_be_asked


def test_what_would_fail_is_said_once_and_of_which_runs() -> None:
    found = plan("compute.size=Standard_NC24ads_A100_v4,Standard_NC6s_v3", RATES)
    assert found.combinations == 6
    (problem,) = found.problems
    assert problem.what.count("Standard_NC6s_v3, learning_rate") == 3
    assert "A100" not in problem.what.partition("(")[2]


def test_the_command_shows_the_plan_alone() -> None:
    said = finetune("--try", RATES, "--sample", "2", "--offline", "--json")
    assert said.exit_code == 0, said.output
    shown = json.loads(said.stdout)
    assert (shown["combinations"], len(shown["planned"])) == (3, 2)
    wrong = finetune("--try", "parameters.training.lerning_rate=1", "--offline")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert wrong.stderr.count("\n") == 1
    assert "did you mean parameters.training.learning_rate?" in wrong.stderr
    unknown = finetune("--try", "parameters.more.lora_rr=1,2", "--offline")
    assert "Did you mean lora_r" in unknown.stderr
