"""Base model, plan and job through the SDK: what is missing is named, equal inputs make one job."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tasks import register
from tasks.azure import clients, listing
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.azure.listing import Listed
from tasks.base_model import Base, BaseModelVersion, find_model
from tasks.compute import Cluster, Compute, find_compute
from tasks.core.lease import PREFIX, Lease
from tasks.core.reuse import Reused
from tasks.data import Data, PreparedData, prepare_data
from tasks.data.section import Split
from tasks.delete import delete_cluster
from tasks.job.meter import Meter
from tasks.job.parameters import Optimisation, Parameters, Training
from tasks.job.pipeline import Pipeline, Plan, Submission, Work, plan_job, submit_job
from tasks.job.wait import TrainedJob, Wait, wait_for_job
from tasks.metrics import Metrics, read_metrics
from tasks.register import Register, RegisteredModel, register_model
from tests.conftest import LetFail
from tests.support.failures import fails
from tests.support.tiny.code import tiny_chat
from tests.tasks.job.waiting_run import waiter

T4 = "Standard_NC4as_T4_v3"
TINY = Pipeline(component="tiny_chat", registry=None)
COMPUTE = Compute(name="pipeline-tests", size=T4)
QUICK = Wait(poll_seconds=0.1, timeout_hours=0.1)

MakePlan = Callable[..., Plan]
Submit = Callable[..., Submission]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    few = {"train": Split(name="train_sft", take="4"), "test": Split(name="test_sft", take="4")}
    return prepare_data.fn(Data(dataset="sample", directory=tmp_path_factory.mktemp("data"), **few))


@pytest.fixture
def base(session: Session, tiny: str) -> BaseModelVersion:
    return find_model.fn(session, Base(name=tiny))


@pytest.fixture
def cluster(session: Session, base: BaseModelVersion, lease: Lease) -> Cluster:
    return find_compute.fn(session, COMPUTE, base, lease)


@pytest.fixture
def work(base: BaseModelVersion, cluster: Cluster, data: PreparedData) -> Work:
    return Work(pipeline=TINY, compute=COMPUTE, base=base, data=data, cluster=cluster)


@pytest.fixture
def plan(session: Session, work: Work) -> MakePlan:
    def make(pipeline: Pipeline = TINY, **training: float) -> Plan:
        parameters = Parameters(training=Training.model_validate(training))
        return plan_job.fn(session, work.model_copy(update={"pipeline": pipeline}), parameters)

    return make


@pytest.fixture
def submit(session: Session, work: Work, lease: Lease) -> Submit:
    def put(plan: Plan, pipeline: Pipeline = TINY, lease: Lease = lease, fresh: bool = False) -> Submission:
        return submit_job.fn(session, work.model_copy(update={"pipeline": pipeline}), plan, lease, fresh)

    return put


def unlike_any() -> float:
    """A learning rate of no other test's job."""
    return 1e-6 + uuid4().int % 10**6 * 1e-12


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"name": "Phi-33"}, "model 'Phi-33'"),
        ({"name": "Phi-4", "version": "99"}, "version 99 of 'Phi-4'. It has: 8."),
    ],
)
def test_a_model_that_is_missing_is_named(session: Session, wanted: dict[str, str], line: str) -> None:
    with fails(Cause.NOT_FOUND, "registry 'azureml'", line):
        find_model.fn(session, Base(**wanted))


def test_a_registry_that_is_missing_is_named(session: Session) -> None:
    with fails(Cause.PERMISSION, "base.registry") as caught:
        find_model.fn(session, Base(name="Phi-4", registry="nowhere"))
    assert "registry nowhere" in caught.value.details


def test_an_archived_and_retired_model_is_taken_with_warnings(
    session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "finetune"):
        found = find_model.fn(session, Base(name="Phi-3-mini-4k-instruct", version="15", allow_retired=True))
    assert found.id == "azureml://registries/azureml/models/Phi-3-mini-4k-instruct/versions/15"
    stand_in, archived, retired = found.warnings
    assert "SmolLM2-135M-Instruct stands in for it" in stand_in
    assert "version 15 is archived" in archived
    assert "retired on 2025-08-30" in retired
    assert set(found.warnings) <= set(caplog.messages)


@pytest.mark.parametrize(
    ("pipeline", "line"),
    [
        (Pipeline(component="chat"), "The registry 'azureml' has no component 'chat'."),
        (Pipeline(version="0.0.1"), "'chat_completion_pipeline' of version 0.0.1."),
        (Pipeline(component="chat", registry=None), "The workspace has no component 'chat'."),
    ],
)
def test_a_component_that_is_missing_is_named(plan: MakePlan, pipeline: Pipeline, line: str) -> None:
    with fails(Cause.NOT_FOUND, line, "pipeline.component"):
        plan(pipeline)


def test_a_wrong_output_is_answered_with_those_there_are(plan: MakePlan, submit: Submit) -> None:
    wrong = TINY.model_copy(update={"output": "model"})
    with fails(Cause.CONFIGURATION, "output 'model'", "pipeline.output", "mlflow_model_f"):
        submit(plan(wrong), wrong)


def test_an_unknown_parameter_is_answered_with_the_nearest(session: Session, work: Work) -> None:
    parameters = Parameters(more={"learning_rat": 1})
    with fails(Cause.CONFIGURATION, "'learning_rat'", "learning_rate"):
        plan_job.fn(session, work, parameters)


def test_the_seeds_defaults_reach_the_real_component(session: Session, work: Work) -> None:
    models_own = {"num_train_epochs": 1, "precision": "16", "learning_rate_min": 1e-7, "lora_r": "16"}
    suggesting = work.base.model_copy(update={"defaults": models_own, "name": "Phi-4"})
    chosen = Parameters(optimisation=Optimisation(lora_r=4))
    real = work.model_copy(update={"pipeline": Pipeline(), "base": suggesting})
    found = plan_job.fn(session, real, chosen)
    values, origin = found.effective.values, found.effective.origin
    assert (values["num_train_epochs"], origin["num_train_epochs"]) == (1, "model")
    assert (values["lora_r"], origin["lora_r"]) == (4, "user")
    assert (values["precision"], values["apply_lora"], values["deepspeed_stage"]) == ("16", "true", "2")
    assert (values["learning_rate"], values["lr_scheduler_type"]) == (5e-6, "cosine")
    assert "no such input" in found.effective.dropped["learning_rate_min"]
    assert found.effective.overridden["num_train_epochs"] == "3 (project)"
    assert found.inputs == {
        **dict.fromkeys(
            ("compute_model_import", "compute_preprocess", "compute_finetune", "compute_model_evaluation"),
            "pipeline-tests",
        ),
        "num_nodes_finetune": 1,
        "number_of_gpu_to_use_finetuning": 1,
    }
    assert found.display_name == "Phi-4-sample-bs1-cosine-ds2-lora-save_limit-1-seqlen-1"
    assert found.experiment == "chat_completion_Phi-4"


def test_each_step_may_have_a_cluster_of_its_own(session: Session, work: Work) -> None:
    compute = Compute(name="small", size=T4, finetune="pipeline-tests", evaluation="other")
    apart = work.model_copy(update={"pipeline": Pipeline(), "compute": compute})
    found = plan_job.fn(session, apart, Parameters())
    assert [found.inputs[f"compute_{step}"] for step in ("preprocess", "finetune", "model_evaluation")] == [
        "small",
        "pipeline-tests",
        "other",
    ]


@pytest.mark.slow
def test_equal_inputs_make_one_job(session: Session, plan: MakePlan, submit: Submit, lease: Lease) -> None:
    rate = unlike_any()
    first = submit(plan(learning_rate=rate))
    assert first.reused is None
    assert submit(plan(learning_rate=rate)).reused is None  # its own, after a lost answer
    later = lease.model_copy(update={"run": "later"})
    second = submit(plan(learning_rate=rate), lease=later)
    assert second.name == first.name
    assert second.reused == Reused(kind="job", name=first.name, run=lease.run)
    assert submit(plan(learning_rate=rate * 2)).name != first.name
    assert submit(plan(learning_rate=rate), lease=later, fresh=True).name not in (first.name, None)
    job = clients.workspace(session).jobs.get(first.name)
    assert job.display_name == plan(learning_rate=rate).display_name
    assert job.experiment_name == "chat_completion_tiny-chat-base"
    assert job.tags[f"{PREFIX}run"] == lease.run
    assert job.settings.force_rerun is True


@pytest.mark.slow
def test_a_job_that_failed_is_reported_with_its_step_and_its_log_and_tried_again(
    session: Session, plan: MakePlan, submit: Submit, cluster: Cluster, let_fail: LetFail
) -> None:
    planned = plan(learning_rate=unlike_any())
    # Every step, as that of another test's job may still be about to run.
    rule = {"kind": "step-failure", "path": "/jobs/**", "message": "CUDA error: out of memory"}
    let_fail({**rule, "count": None})
    job = submit(planned)
    with fails(Cause.OUT_OF_MEMORY, job.name, "exited with status code 1") as caught:
        wait_for_job.fn(session, job, Meter(cluster), QUICK, waiter())
    assert "CUDA error: out of memory" in caught.value.details
    assert "Last log lines" in caught.value.details
    assert not caught.value.retryable
    let_fail()
    again = submit(planned)
    assert again.name == f"{job.name}-2"
    assert wait_for_job.fn(session, again, Meter(cluster), QUICK, waiter()).name == again.name


@pytest.mark.slow
def test_an_adopted_jobs_metrics_are_found_in_its_own_experiment(
    session: Session, plan: MakePlan, submit: Submit, cluster: Cluster
) -> None:
    planned = plan(learning_rate=unlike_any())
    first = wait_for_job.fn(session, submit(planned), Meter(cluster), QUICK, waiter())
    elsewhere = planned.model_copy(update={"experiment": "another"})
    adopted = wait_for_job.fn(session, submit(elsewhere), Meter(cluster), QUICK, waiter())
    assert adopted.name == first.name
    assert read_metrics.fn(session, adopted, elsewhere).eval_loss is not None


@pytest.mark.slow
def test_the_steps_own_error_is_the_line(
    session: Session, plan: MakePlan, submit: Submit, cluster: Cluster
) -> None:
    with fails(Cause.JOB, "RuntimeError: the loss is not a number: learning rate 1.5") as caught:
        wait_for_job.fn(
            session, submit(plan(learning_rate=1.5 + unlike_any())), Meter(cluster), QUICK, waiter()
        )
    assert "base model with 0 answers" in caught.value.details


def test_quota_reads_as_what_to_do(plan: MakePlan, submit: Submit, let_fail: LetFail) -> None:
    let_fail({"kind": "quota", "method": "PUT", "path": "/**/jobs/*"})
    with fails(Cause.QUOTA, "quota"):
        submit(plan(learning_rate=unlike_any()))


def test_a_lost_answer_makes_no_second_job(plan: MakePlan, submit: Submit, let_fail: LetFail) -> None:
    planned = plan(learning_rate=unlike_any())
    let_fail({"kind": "reset", "method": "PUT", "path": "/**/jobs/*", "acted": True})
    job = submit(planned)
    assert not job.name.endswith("-2")
    assert submit(planned).name == job.name


@pytest.mark.slow
def test_a_job_that_is_being_cancelled_is_left_and_tried_again(
    session: Session, plan: MakePlan, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan(learning_rate=unlike_any())
    first = submit(planned)
    look = listing.job

    def cancelling(session: Session, name: str) -> Listed | None:
        found = look(session, name)
        # For as long as its nodes take to let go of it.
        return replace(found, state="CancelRequested") if found and name == first.name else found

    monkeypatch.setattr(listing, "job", cancelling)
    assert submit(planned).name == f"{first.name}-2"


def test_of_two_that_submit_at_once_the_one_whose_tags_stay_holds_the_job() -> None:
    made = Submission(name="j", status="Running", created=None, studio_url="")
    theirs = made.model_copy(update={"reused": Reused(kind="job", name="j", run="other")})
    assert made.as_held("me", "me") == made
    assert made.as_held(None, "me") == made  # tags that say nothing any more change nothing
    assert made.as_held("other", "me") == theirs
    assert theirs.as_held("other", "me") == theirs
    assert theirs.as_held("me", "me") == made


@pytest.mark.slow
def test_a_cluster_that_its_run_has_deleted_meanwhile_is_made_again(
    session: Session, base: BaseModelVersion, data: PreparedData, lease: Lease
) -> None:
    compute, other = Compute(name=f"c-{uuid4().hex[:8]}", size=T4), Lease.of_run("other", hours=1)
    found = find_compute.fn(session, compute, base, other)
    parameters = Parameters(training=Training(learning_rate=unlike_any()))
    work = Work(pipeline=TINY, compute=compute, base=base, data=data, cluster=found)
    planned = plan_job.fn(session, work, parameters)
    assert delete_cluster.fn(session, compute.name, other)
    job = submit_job.fn(session, work, planned, lease, False)
    assert wait_for_job.fn(session, job, Meter(found), QUICK, waiter()).name == job.name
    assert delete_cluster.fn(session, compute.name, lease)


def test_two_runs_that_register_at_once_use_one_version(
    session: Session,
    plan: MakePlan,
    work: Work,
    lease: Lease,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny_chat.write(tmp_path / "model", [])
    name, planned = f"at-once-{uuid4().hex[:8]}", plan()
    trained = TrainedJob(
        name=name,
        output=str(tmp_path / "model"),
        studio_url="",
        queued=0,
        provisioning=0,
        running=0,
        cost=0,
        steps=(),
    )
    look = register._first_of_job
    theirs: list[RegisteredModel] = []

    def registered(lease: Lease) -> RegisteredModel:
        metrics = Metrics(final={}, loss=(), held_out=())
        wanted = Register(name=name)
        made = register.Training(work=work, plan=planned, job=trained, metrics=metrics)
        return register_model.fn(session, wanted, made, lease)

    def and_then_another_registers(*arguments: Any) -> Any:
        found = look(*arguments)
        monkeypatch.setattr(register, "_first_of_job", look)
        theirs.append(registered(lease.model_copy(update={"run": "other"})))
        return found

    monkeypatch.setattr(register, "_first_of_job", and_then_another_registers)
    ours = registered(lease)
    assert [ours.id] == [model.id for model in theirs]
    assert ours.reused == Reused(kind="model", name=f"{name}:1", run="other")
    assert [model.version for model in clients.workspace(session).models.list(name=name)] == ["1"]
