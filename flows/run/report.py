"""The report: what a run made, found, cost and left behind, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Literal

from pydantic import BaseModel, ConfigDict

from flows.run.config import Finetune
from tasks.azure.clients import Session
from tasks.azure.failure import Failure
from tasks.base_model import BaseModelVersion
from tasks.compute import Cluster
from tasks.core.stage import Progress
from tasks.data import PreparedData
from tasks.delete import Deletion
from tasks.deploy import Deployment
from tasks.endpoint import Endpoint
from tasks.invoke import Conversation
from tasks.job.pipeline import Plan, Submission
from tasks.job.wait import BudgetReached, TrainedJob
from tasks.metrics import Metrics
from tasks.register import RegisteredModel


class RunReport(BaseModel):
    """One run in one row: written at the end of every run, whatever the end; seconds and US dollars."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    run: str
    recipe: str
    trigger: str
    started: datetime
    ended: datetime
    outcome: Literal["completed", "failed", "cancelled"]
    failed_stage: str | None = None
    failure: str | None = None
    over_budget: bool = False
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
    model: str | None = None
    model_version: str | None = None
    endpoint: str | None = None
    prompt: str | None = None
    answer: str | None = None
    base_answer: str | None = None
    ground_truth: str | None = None
    deletion: str | None = None
    adopted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    queued_seconds: float | None = None
    seconds: float
    seconds_by_stage: dict[str, float]
    training_usd: float = 0.0
    serving_usd: float = 0.0
    cost_usd: float = 0.0


@dataclass
class Findings:
    """What a run has come to know so far; each stage's result is put here as soon as it is there."""

    config: Finetune
    run: str
    trigger: str
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    session: Session | None = None
    base: BaseModelVersion | None = None
    cluster: Cluster | None = None
    data: PreparedData | None = None
    plan: Plan | None = None
    submission: Submission | None = None
    trained: TrainedJob | None = None
    metrics: Metrics | None = None
    model: RegisteredModel | None = None
    endpoint: Endpoint | None = None
    deployments: list[Deployment] = field(default_factory=list)
    conversation: Conversation | None = None
    deletion: Deletion | None = None
    failure: BaseException | None = None
    failed_stage: str | None = None
    _begun: dict[str, float] = field(default_factory=dict)
    _seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=monotonic)

    def watch(self, progress: Progress) -> None:
        """Keep a stage's time, from its first begin to its last end, retries and all."""
        now = monotonic()
        self._begun.setdefault(progress.stage, now)
        if progress.state != "running":
            self._seconds[progress.stage] = now - self._begun[progress.stage]
        if progress.state == "failed":
            self.failed_stage = progress.stage
        elif progress.stage == self.failed_stage:
            self.failed_stage = None  # a retry has mended it

    def report(self) -> RunReport:
        """The findings as a row."""
        conversation, metrics, data = self.conversation, self.metrics, self.data
        training, serving = self._training_usd(), self._serving_usd()
        return RunReport(
            run=self.run,
            recipe=self.config.recipe,
            trigger=self.trigger,
            started=self.started,
            ended=datetime.now(UTC),
            outcome=self._outcome(),
            failed_stage=self.failed_stage if self.failure is not None else None,
            failure=str(self.failure) or type(self.failure).__name__ if self.failure is not None else None,
            over_budget=isinstance(self.failure, BudgetReached),
            workspace=self.session.workspace if self.session else None,
            base_model=f"{self.base.name}:{self.base.version}" if self.base else self.config.base.name,
            fingerprint=self.plan.fingerprint if self.plan else None,
            data_source=data.source if data else None,
            data_revision=data.revision if data else None,
            data_rows=data.train.rows + data.test.rows if data else None,
            data_share=self.config.data.train.take,
            job=self.submission.name if self.submission else None,
            studio_url=self.submission.studio_url if self.submission else None,
            base_loss=metrics.base_loss if metrics else None,
            eval_loss=metrics.eval_loss if metrics else None,
            train_loss=metrics.train_loss if metrics else None,
            model=self.model.name if self.model else None,
            model_version=self.model.version if self.model else None,
            endpoint=self.endpoint.name if self.endpoint else None,
            prompt=conversation.prompt if conversation else None,
            answer=conversation.answer if conversation else None,
            base_answer=conversation.base_answer if conversation else None,
            ground_truth=conversation.ground_truth if conversation else None,
            deletion=f"{self.deletion.state}: {self.deletion.proof}" if self.deletion else None,
            adopted=tuple(self._adopted()),
            notes=self.base.warnings if self.base else (),
            queued_seconds=self.trained.queued if self.trained else None,
            seconds=round(monotonic() - self._since, 2),
            seconds_by_stage={stage: round(value, 2) for stage, value in self._seconds.items()},
            training_usd=round(training, 6),
            serving_usd=round(serving, 6),
            cost_usd=round(training + serving, 6),
        )

    def _outcome(self) -> Literal["completed", "failed", "cancelled"]:
        if self.failure is None:
            return "completed"
        return "failed" if isinstance(self.failure, Exception) else "cancelled"

    def _adopted(self) -> list[str]:
        """What an earlier run had made and this one has used."""
        found: list[tuple[str, Submission | RegisteredModel | Endpoint | Deployment]] = []
        if self.submission:
            found.append((f"job {self.submission.name}", self.submission))
        if self.model:
            found.append((f"model {self.model.name}:{self.model.version}", self.model))
        if self.endpoint:
            found.append((f"endpoint {self.endpoint.name}", self.endpoint))
        found += [(f"deployment {deployment.name}", deployment) for deployment in self.deployments]
        return [
            f"{what} of run {thing.adopted_from}" if thing.adopted_from else what
            for what, thing in found
            if thing.adopted
        ]

    def _training_usd(self) -> float:
        """What this run paid for training: nothing for a job that it found completed."""
        if self.trained is None or (self.submission and self.submission.adopted):
            return 0.0
        return self.trained.cost

    def _serving_usd(self) -> float:
        """From the request for each deployment to the end of the endpoint, at the deployments' prices."""
        serving = (
            self._seconds.get("deploy", 0) + self._seconds.get("invoke", 0) + self._seconds.get("delete", 0)
        )
        return sum(deployment.hourly for deployment in self.deployments) * serving / 3600


def failure_of(error: BaseException) -> tuple[str, str]:
    """What to say of a failed run, and the details below it."""
    if isinstance(error, Failure):
        return str(error), error.details
    return f"{type(error).__name__}: {error}", ""
