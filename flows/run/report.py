"""The report: what a run made, found, cost and left behind, as one value."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from flows.run import interruption
from flows.run.context import Run
from flows.run.spent import JobCost, Spent
from tasks.azure.errors import explain
from tasks.azure.failure import LIMITS, Cause, Failure
from tasks.azure.redaction import redact
from tasks.core.ending import Ending, ending_of
from tasks.core.reuse import Reused
from tasks.delete import Deletion
from tasks.evaluation.result import Candidate, Fault

KEY = "finetune-run"  # of the artifact that holds it
_INTERRUPTED = {Ending.CANCELLED: "cancelled", Ending.LOST: "crashed"}


class RunReport(BaseModel):
    """One run in one row: written at the end of every run, whatever the end; seconds and US dollars."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    run: str
    recipe: str
    trigger: str
    sweep: str | None = None  # the flow run of the group that it is one of
    started: datetime
    ended: datetime
    outcome: Literal["completed", "failed", "cancelled", "crashed"]
    failed_stage: str | None = None
    failure: str | None = None
    cause: Cause | None = None
    workspace: str | None = None
    base_model: str
    fingerprint: str | None = None
    data_source: str | None = None
    data_revision: str | None = None
    data_rows: int | None = None
    data_share: str | None = None  # such as 5%, or a number of rows
    job: str | None = None
    studio_url: str | None = None
    base_loss: float | None = None
    eval_loss: float | None = None
    train_loss: float | None = None
    rouge_l: float | None = None
    base_rouge_l: float | None = None
    chrf: float | None = None
    base_chrf: float | None = None
    empty_answers: int | None = None
    win_rate: float | None = None
    incumbent: str | None = None  # the version that the model was held against
    gate: Literal["passed", "not passed"] | None = None  # None without rules
    gate_reasons: tuple[str, ...] = ()
    model: str | None = None
    model_version: str | None = None
    endpoint: str | None = None
    prompt: str | None = None
    answer: str | None = None
    base_answer: str | None = None
    ground_truth: str | None = None
    deletion: Deletion | None = None
    reused: tuple[Reused, ...] = ()
    notes: tuple[str, ...] = ()
    queued_seconds: float | None = None
    seconds: float
    seconds_by_stage: dict[str, float]
    training_usd: float = 0.0
    serving_usd: float = 0.0
    cost_usd: float = 0.0
    cost_is_least: bool = False  # part of the job's time was not seen, or the end of a deployment
    jobs: tuple[JobCost, ...] = ()

    def counted(self, job: str) -> float:
        """How many dollars of that job are in this report's."""
        if not self.jobs and self.job == job:  # of a version that kept no list of them
            return self.training_usd
        return sum(each.counted for each in self.jobs if each.name == job)

    @field_validator("*", mode="after")
    @classmethod
    def _without_secrets(cls, value: Any) -> Any:
        """What an error or an answer holds of them goes no further: the report is read everywhere."""
        return redact(value) if type(value) is str else value

    @field_validator("deletion", mode="before")
    @classmethod
    def _of_0_1(cls, value: Any) -> Any:
        """Version 0.1 kept a sentence here, which is not taken apart; the rest of its rows is read."""
        return None if isinstance(value, str) else value


def report_of(run: Run) -> RunReport:
    """The run as a row; what it did not get to is None."""
    spent = Run.spent.of(run) or Spent()
    training, serving = round(spent.training.dollars, 6), round(spent.serving.dollars, 6)
    base, session = Run.base.of(run), Run.session.of(run)
    return RunReport(
        run=run.id,
        recipe=run.config.recipe,
        trigger=run.trigger,
        sweep=run.sweep,
        started=run.started,
        ended=datetime.now(UTC),
        workspace=session.workspace if session else None,
        base_model=f"{base.name}:{base.version}" if base else run.config.base.name,
        reused=_reused(run),
        notes=base.warnings if base else (),
        seconds=round(run.stages.total, 2),
        seconds_by_stage=run.stages.by_stage(),
        training_usd=training,
        serving_usd=serving,
        cost_usd=round(training + serving, 6),
        cost_is_least=spent.is_least,
        jobs=spent.jobs,
        **_end(run, round(training + serving, 6)),
        **_training(run),
        **_serving(run),
        **_judged(run),
    )


def failure_of(error: BaseException) -> tuple[str, str]:
    """What to say of a failed run, and the details below it."""
    if isinstance(error, Failure):
        return str(error), error.details
    return redact(f"{type(error).__name__}: {error}"), ""


def _end(run: Run, dollars: float) -> dict[str, Any]:
    """How the run ended, and where."""
    failure = run.failure
    if failure is None:
        return {"outcome": "completed"}
    failed = isinstance(failure, Exception)
    return {
        "outcome": "failed" if failed else _INTERRUPTED[ending_of(failure)],
        "failed_stage": run.stages.stopped_at,
        "failure": str(failure) or type(failure).__name__
        if failed
        else interruption.summary(run, failure, dollars),
        "cause": _cause(failure),
    }


def _cause(failure: BaseException) -> Cause:
    """The cause of a run's failure; a run that was stopped after it had reached a limit has the limit's."""
    if isinstance(failure, Exception):
        return explain(failure).cause
    before = failure.__context__
    while before is not None:
        if isinstance(before, Failure) and before.cause in LIMITS:
            return before.cause
        before = before.__context__
    return Cause.CANCELLED if ending_of(failure) is Ending.CANCELLED else Cause.CRASHED


def _training(run: Run) -> dict[str, Any]:
    """What was trained on what, and how good it became."""
    found: dict[str, Any] = {"data_share": run.config.data.train.take}
    if data := Run.data.of(run):
        found |= {
            "data_source": data.source,
            "data_revision": data.revision,
            "data_rows": sum(split.rows for split in data.splits),
        }
    if plan := Run.plan.of(run):
        found["fingerprint"] = plan.fingerprint
    if submission := Run.submission.of(run):
        found |= {"job": submission.name, "studio_url": submission.studio_url}
    if trained := Run.trained.of(run):
        found["queued_seconds"] = trained.queued
    if metrics := Run.metrics.of(run):
        found |= {
            "base_loss": metrics.base_loss,
            "eval_loss": metrics.eval_loss,
            "train_loss": metrics.train_loss,
        }
    return found


def _serving(run: Run) -> dict[str, Any]:
    """What was registered and served, and what it answered."""
    found: dict[str, Any] = {"deletion": Run.deletion.of(run)}
    if model := Run.model.of(run):
        found |= {"model": model.name, "model_version": model.version}
    if endpoint := Run.endpoint.of(run):
        found["endpoint"] = endpoint.name
    if conversation := Run.conversation.of(run):
        found |= {
            "prompt": conversation.prompt,
            "answer": conversation.answer,
            "base_answer": conversation.base_answer,
            "ground_truth": conversation.ground_truth,
        }
    return found


def _judged(run: Run) -> dict[str, Any]:
    """What the answers to held-out questions came to, and what the gate said."""
    found: dict[str, Any] = {}
    if incumbent := Run.incumbent.of(run):
        found["incumbent"] = f"{incumbent.name}:{incumbent.version}"
    if evaluation := Run.evaluation.of(run):
        rates = [each.judged.rate.mean for each in evaluation.against if each.judged]
        found |= {
            "rouge_l": evaluation.rouge_l(Candidate.TUNED),
            "base_rouge_l": evaluation.rouge_l(Candidate.BASE),
            "chrf": evaluation.chrf(Candidate.TUNED),
            "base_chrf": evaluation.chrf(Candidate.BASE),
            "empty_answers": evaluation.faults(Fault.EMPTY),
            "win_rate": rates[0] if rates else None,
        }
    judgement = Run.judgement.of(run)
    if judgement is not None and run.config.gate.rules:
        found["gate"] = "passed" if judgement.passed else "not passed"
        found["gate_reasons"] = judgement.reasons
    return found


def _reused(run: Run) -> tuple[Reused, ...]:
    """What another run had made and this one has used."""
    made = (Run.submission.of(run), Run.model.of(run), Run.endpoint.of(run))
    deployments = Run.deployments.of(run) or ()
    found = [thing.reused for thing in (*made, *deployments) if thing and thing.reused]
    told, base = Run.told.of(run), Run.base.of(run)
    if base and told and told.answers:
        found.append(Reused(kind="answers", name=f"{base.name}:{base.version}", run=told.run))
    return tuple(found)
