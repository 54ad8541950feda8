"""A plan by what is shipped: no workspace, no server, no network."""

from __future__ import annotations

import pytest

from flows.plan import shipped
from flows.plan.making import plan_of
from flows.plan.plan import Act, Basis, Origin, Plan
from flows.plan.sections import sections
from flows.run.config import Finetune, load
from flows.run.most import Bound
from tasks.azure.failure import Cause
from tasks.core.stages import Stage
from tests.support.failures import fails


def planned(*changes: str) -> Plan:
    config = load("phi-4-ultrachat", changes)
    return plan_of(config, shipped.facts(config))


def test_the_recipe_for_azure_is_planned_with_its_price() -> None:
    plan = planned()
    assert (plan.base_model, plan.component) == ("Phi-4:8", "chat_completion_pipeline:0.0.82")
    assert plan.training.machines.hourly == pytest.approx(3.67)
    assert [split.rows for split in plan.data.splits] == [10_393, 1_156]  # 5 % of 207,865 and of 23,110
    assert (plan.most.training, plan.most.bound) == (40, Bound.BUDGET)
    assert plan.most.dollars == pytest.approx(40 + 6 * 3.67)
    assert [need.cores for need in plan.needs] == [24, 24]
    assert (plan.problems, plan.quota, plan.fingerprint) == ((), None, None)
    assert plan.must_be_asked


def test_every_parameter_says_whose_it_is() -> None:
    settings = {setting.name: setting for setting in planned("parameters.training.weight_decay=0.1").settings}
    assert settings["weight_decay"].origin is Origin.USER
    assert settings["precision"].origin is Origin.MODEL
    assert (settings["deepspeed_stage"].value, settings["deepspeed_stage"].instead_of) == ("3", "2 (project)")
    assert settings["num_nodes_finetune"].origin is Origin.COMPUTE


def test_the_estimate_is_a_rules_and_says_its_error() -> None:
    estimate = planned().estimate
    assert estimate is not None
    assert estimate.basis is Basis.RULE
    assert estimate.error == 3
    assert estimate.dollars == pytest.approx(estimate.hours * 3.67)
    longer = planned("parameters.training.num_train_epochs=2").estimate
    assert longer is not None
    assert longer.hours == pytest.approx(2 * estimate.hours, rel=1e-3)
    shorter = planned("parameters.training.max_seq_length=256").estimate
    assert shorter is not None
    assert shorter.hours < estimate.hours


def test_no_rule_holds_for_machines_that_are_played() -> None:
    config = load("local", ())
    plan = plan_of(config, shipped.facts(config))
    assert plan.estimate is None
    assert not plan.must_be_asked


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("compute.size=Standard_NC6s_v3",), "cannot be fine-tuned on Standard_NC6s_v3"),
        (("deploy.instance_type=Standard_NC6s_v3",), "cannot be deployed on Standard_NC6s_v3"),
        (("base.name=Phi-3.5-mini-instruct", "base.version=6"), "is archived in its registry"),
    ],
)
def test_what_a_run_would_refuse_is_a_problem(changes: tuple[str, ...], said: str) -> None:
    assert any(said in problem.what for problem in planned(*changes).problems)


def test_two_deployments_and_reserved_cores_are_counted() -> None:
    plan = planned("deploy.compare_with_base=true", "deploy.keep_endpoint=4h")
    assert plan.serving.deployments == ("demo", "base")
    assert plan.serving.machines.hourly == pytest.approx(2 * 3.67)
    assert plan.needs[1].cores == 48
    assert plan.most.serving_hours == 10
    assert plan.steps[-2].stage is Stage.KEEP
    assert planned("deploy.keep_endpoint=forever").most.dollars is None


def test_a_roll_out_deletes_nothing_but_the_old_deployment_and_has_no_end() -> None:
    plan = planned("deploy.mode=serve", "deploy.endpoint=our-chat", "deploy.compare_with_base=true")
    assert plan.serving.deployments == ("demo",)
    says = {step.stage: step.says for step in plan.steps}
    assert says[Stage.ROLL_OUT] == "10, 50, 100 % of the traffic, the old one deleted after 30 minutes"
    assert says[Stage.KEEP] == "our-chat stays up for ever"
    assert Stage.DELETE not in says
    assert plan.most.dollars is None


def test_what_only_the_workspace_knows_is_asked_of_it() -> None:
    with fails(Cause.CONFIGURATION, "Only the workspace knows", "--offline"):
        planned("base.registry=null")


def test_gpus_nodes_and_steps_make_the_effective_batch() -> None:
    plan = planned(
        *("compute.size=Standard_NC48ads_A100_v4", "compute.nodes=2", "compute.max_nodes=2"),
        *("parameters.training.gradient_accumulation_steps=3", "compute.tier=low_priority"),
    )
    assert plan.training.batch == 2 * 2 * 3
    assert plan.training.machines.hourly == pytest.approx(2 * 2 * 0.74, rel=0.05)


def test_serverless_machines_have_no_cluster_to_make_or_delete() -> None:
    acts = {step.stage: step.act for step in planned("compute.name=serverless").steps}
    assert acts[Stage.COMPUTE] is Act.READ
    assert Stage.DELETE_COMPUTE not in acts


@pytest.mark.parametrize(
    ("change", "there"),
    [
        ("base.name=Phi-5", "Phi-4 8"),
        ("base.version=7", "Phi-4 8"),
        ("pipeline.component=other", "chat_completion_pipeline 0.0.82"),
        ("compute.size=Standard_NC1", "Standard_NC24ads_A100_v4"),
    ],
)
def test_what_is_not_in_the_catalogue_is_named_with_what_is(change: str, there: str) -> None:
    with fails(Cause.NOT_FOUND if "size" not in change else Cause.COMPUTE, there, "--offline"):
        planned(change)


def test_a_parameter_that_the_component_lacks_is_no_plan() -> None:
    with fails(Cause.CONFIGURATION, "has no input 'learning_speed'"):
        planned("parameters.more.learning_speed=2")


def test_a_plan_survives_json_and_has_a_section_for_all_of_it() -> None:
    plan = planned("base.allow_retired=true")
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    titles = [section.title for section in sections(plan)]
    assert titles == ["Stages", "Parameters", "Machines", "Quota", "Cost", "Names", "Leases"]


def test_only_what_is_billed_is_asked_about() -> None:
    assert Finetune().workspace.bills is False
    assert planned().model_copy(update={"bills": False}).must_be_asked is False
