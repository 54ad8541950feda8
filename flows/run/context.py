"""A run of the fine-tune while it goes: its configuration, its lease, and what its stages have made."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast, overload

from flows.run.config import Finetune
from flows.run.spent import Spent
from flows.run.stage_times import StageTimes
from tasks.azure.clients import Session
from tasks.azure.sizes import Size
from tasks.base_model import BaseModelVersion
from tasks.compute import Cluster
from tasks.core.lease import Lease
from tasks.data import PreparedData
from tasks.delete import Deletion
from tasks.deploy import Deployment
from tasks.endpoint import Endpoint
from tasks.evaluation.earlier import Earlier
from tasks.evaluation.result import Evaluation
from tasks.gate.rule import Judgement
from tasks.invoke import Conversation
from tasks.job.meter import Meter
from tasks.job.pipeline import Plan, Submission
from tasks.job.wait import TrainedJob
from tasks.metrics import Metrics
from tasks.promotion import Version
from tasks.register import RegisteredModel
from tasks.rollout.rollout import RolledOut
from tasks.spending import Served

T = TypeVar("T")


class Result(Generic[T]):
    """What one stage of a run makes: set once it is there, and an error to read before.

    `Run.plan.of(run)` is the plan, or None in a run that did not get that far.
    """

    def __set_name__(self, owner: type[Run], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, run: None, owner: type[Run]) -> Result[T]: ...
    @overload
    def __get__(self, run: Run, owner: type[Run]) -> T: ...
    def __get__(self, run: Run | None, owner: type[Run]) -> T | Result[T]:
        if run is None:
            return self
        if self._name not in run.results:
            raise AttributeError(f"the run has no {self._name} yet")
        return cast(T, run.results[self._name])

    def __set__(self, run: Run, value: T) -> None:
        run.results[self._name] = value

    def of(self, run: Run) -> T | None:
        return run.results.get(self._name)


class Run:
    """One run: the stages take what they need from it, and leave in it what they make.

    `sweep` is the group's flow run, of a run that is one of a group: it trains, and serves nothing.
    """

    session = Result[Session]()
    base = Result[BaseModelVersion]()
    cluster = Result[Cluster]()
    serving = Result[Size]()
    data = Result[PreparedData]()
    plan = Result[Plan]()
    submission = Result[Submission]()
    trained = Result[TrainedJob]()
    metrics = Result[Metrics]()
    model = Result[RegisteredModel]()
    endpoint = Result[Endpoint]()
    deployments = Result[tuple[Deployment, ...]]()
    rolled_out = Result[RolledOut]()
    told = Result[Earlier]()  # by the base model before, where it need not be deployed
    conversation = Result[Conversation]()
    evaluation = Result[Evaluation]()
    judgement = Result[Judgement]()
    incumbent = Result[Version | None]()
    deletion = Result[Deletion]()
    deleted_cluster = Result[str]()
    released = Result[datetime]()  # when that cluster was, or was left to others, by the service's clock
    meter = Result[Meter]()
    served = Result[tuple[Served, ...]]()
    spent = Result[Spent]()
    cancelled = Result[tuple[str, ...]]()  # jobs, by what people call them
    job_has_ended = Result[bool]()  # by itself, before it could be cancelled

    def __init__(self, config: Finetune, id: str, trigger: str, sweep: str | None = None) -> None:
        self.config = config
        self.id = id
        self.trigger = trigger
        self.sweep = sweep
        self.started = datetime.now(UTC)
        self.stages = StageTimes()
        self.failure: BaseException | None = None
        self.results: dict[str, Any] = {}

    @property
    def lease(self) -> Lease:
        """Of the job and its cluster, from now on: they may be needed until the wait is over."""
        return Lease.of_run(self.id, self.config.deploy.lease_hours + self.config.wait.timeout_hours)

    @property
    def serving_lease(self) -> Lease:
        """Of the endpoint and its deployments, from now on."""
        return Lease.of_run(self.id, self.config.deploy.lease_hours)
