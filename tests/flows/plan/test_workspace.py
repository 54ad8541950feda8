"""A plan by a workspace: nothing in it is changed, and what is there already is used again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flows.doctor.check import Verdict
from flows.doctor.examination import CHECKS, examine
from flows.plan import estimate, workspace
from flows.plan.facts import Facts, Like
from flows.plan.making import plan_of
from flows.plan.plan import Act, Basis, Plan
from flows.run.config import Finetune
from tasks.azure import clients, sizes
from tasks.base_model import find_model
from tasks.compute import find_compute
from tasks.core.lease import Lease
from tasks.core.stages import Stage
from tasks.data import prepare_data
from tasks.job.parameters import merge
from tasks.job.pipeline import Work, plan_job, submit_job
from tasks.sign_in import sign_in
from tests.conftest import LetFail, LocalServer
from tests.flows.conftest import MakeConfig
from tests.support.waiting import PATIENCE

RUN = "00000000-0000-0000-0000-0000000000a1"


@pytest.fixture
def planned(config: MakeConfig) -> Callable[..., Plan]:
    def make(*changes: str) -> Plan:
        clients.forget()
        sizes._sizes.cache_clear()
        return plan_of(chosen := config(*changes), workspace.facts(chosen))

    return make


def acts(plan: Plan) -> dict[Stage, Act]:
    return {step.stage: step.act for step in plan.steps}


def test_nothing_of_the_workspace_is_changed(
    planned: Callable[..., Plan], let_fail: LetFail, server: LocalServer
) -> None:
    watching = [
        {"kind": "delay", "seconds": 0, "path": "/**", "method": method, "count": None}
        for method in ("PUT", "PATCH", "DELETE", "POST")
    ]
    let_fail(*watching)
    plan = planned("compute.name=never-planned", "data.train.take=17")
    put, patch, delete, post = (rule["hit"] for rule in server.admin("faults")["faults"])
    assert (put, patch, delete) == ([], [], [])
    assert all("/datarefs/" in call for call in post)  # where a registry's files lie, to read them
    assert acts(plan)[Stage.COMPUTE] is Act.NEW
    assert acts(plan)[Stage.SUBMIT] is Act.DEPENDS
    assert [split.rows for split in plan.data.splits] == [17, 8]
    assert plan.problems == ()


def test_the_plan_and_the_doctor_say_the_same(planned: Callable[..., Plan], config: MakeConfig) -> None:
    changes = ("deploy.instance_type=Standard_NC6s_v3", "compute.nodes=60000", "compute.max_nodes=60000")
    plan = planned(*changes)
    wanted = [check for check in CHECKS if check.name in ("deployment size", "quota", "cluster")]
    found = [
        line.says for line in examine(config(*changes), wanted, PATIENCE) if line.verdict is Verdict.FAIL
    ]
    assert found
    assert len(plan.problems) == len(found)
    assert all(any(says.rstrip(".") in each.what for each in plan.problems) for says in found)


@pytest.mark.slow
def test_a_job_of_the_same_inputs_would_be_used_again(
    planned: Callable[..., Plan], config: MakeConfig
) -> None:
    """What the stages of a run do with the data and the job, without waiting for it."""
    changes = ("data.train.take=19", "compute.name=planned-again")
    wanted = config(*changes)
    session = sign_in.fn(wanted.workspace)
    base = find_model.fn(session, wanted.base)
    data = prepare_data.fn(wanted.data, base.window)
    before = planned(*changes)
    assert before.data.prepared is not None
    assert (acts(before)[Stage.DATA], acts(before)[Stage.SUBMIT]) == (Act.REUSE, Act.NEW)
    assert before.names.endpoint is not None
    lease = Lease.of_run(RUN, 1)
    cluster = find_compute.fn(session, wanted.compute, base, lease)
    work = Work(pipeline=wanted.pipeline, compute=wanted.compute, base=base, data=data, cluster=cluster)
    job = plan_job.fn(session, work, wanted.parameters)
    submitted = submit_job.fn(session, work, job, lease, False)
    after = planned(*changes)
    assert (after.fingerprint, after.names.job) == (job.fingerprint, submitted.name)
    assert before.names.job == submitted.name
    assert (acts(after)[Stage.SUBMIT], acts(after)[Stage.TRAIN]) == (Act.REUSE, Act.REUSE)
    assert any(RUN in step.says for step in after.steps if step.stage is Stage.SUBMIT)
    assert acts(after)[Stage.COMPUTE] is Act.REUSE


def test_quota_that_may_not_be_read_is_said(planned: Callable[..., Plan], let_fail: LetFail) -> None:
    let_fail({"kind": "status", "path": "**/usages", "status": 403, "code": "AuthorizationFailed"})
    assert planned().quota == ()


def test_like_runs_go_before_the_rule(config: MakeConfig, tmp_path: Path) -> None:
    wanted: Finetune = config("data.train.take=20")
    facts: Facts = replace(
        workspace.facts(wanted), like=(Like(0.5, 1.0, 10), Like(0.25, 1.0, 10), Like(0.75, 1.0, 10))
    )
    plan = plan_of(wanted, facts)
    assert plan.estimate is not None
    assert plan.estimate.basis is Basis.HISTORY
    assert plan.estimate.hours == pytest.approx(1.0)  # twice the rows of the middle one
    assert plan.estimate.dollars == pytest.approx(plan.training.machines.hourly)
    effective = merge(wanted.parameters, facts.base.defaults, facts.component.inputs)
    alone = replace(facts, like=facts.like[:1])
    one = estimate.of(wanted, alone, effective, plan.training.machines)
    assert one is not None
    assert one.error > plan.estimate.error
