"""Metrics: what training and evaluation logged to MLflow, on the job and its children."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.job.pipeline import Plan
from tasks.job.wait import TrainedJob

Point = tuple[int, float]  # step, value

LOSS, HELD_OUT = "loss", "eval_loss"


class Metrics(BaseModel):
    """Final values by name, and the two curves people look at.

    `base_loss` is the held-out loss before the first step, None where the component does not evaluate it.
    """

    model_config = ConfigDict(frozen=True)

    final: dict[str, float]
    loss: tuple[Point, ...]
    held_out: tuple[Point, ...]

    @property
    def base_loss(self) -> float | None:
        return self.held_out[0][1] if self.held_out and self.held_out[0][0] == 0 else None

    @property
    def eval_loss(self) -> float | None:
        return self.held_out[-1][1] if self.held_out else self.final.get(HELD_OUT)

    @property
    def train_loss(self) -> float | None:
        return self.final.get("train_loss", self.loss[-1][1] if self.loss else None)


@stage(Stage.METRICS)
def read_metrics(session: Session, job: TrainedJob, plan: Plan) -> Metrics:
    """The job's metrics; empty where it logged none, as a component may."""
    metrics = of_job(session, job.experiment or plan.experiment, job.name)
    if not metrics.final:
        logger().warning("The job %s logged no metrics", job.name)
    return metrics


def of_job(session: Session, experiment: str, job: str) -> Metrics:
    """What a job of the experiment, and the runs below it, have logged so far."""
    client = clients.mlflow(session)
    runs = _runs(client, experiment, job)
    return Metrics(
        final={name: value for run in runs for name, value in run.data.metrics.items()},
        loss=_longest(client, runs, LOSS),
        held_out=_longest(client, runs, HELD_OUT),
    )


def _runs(client: Any, experiment: str, job: str) -> list[Any]:
    """The job's run and those of its children; the evaluation's come last, so that its values hold."""
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    query = f"tags.mlflow.rootRunId = '{job}'"
    runs = list(client.search_runs([found.experiment_id], filter_string=query, max_results=100))
    if not any(run.info.run_id == job for run in runs):
        runs.append(client.get_run(job))
    return sorted(runs, key=lambda run: run.info.start_time or 0)


def _longest(client: Any, runs: Iterable[Any], name: str) -> tuple[Point, ...]:
    """The metric's values over the steps, from the run that has most of them: root and child log the same."""
    curves = [
        tuple(
            sorted(
                {
                    point.step: float(point.value)
                    for point in client.get_metric_history(run.info.run_id, name)
                }.items()
            )
        )
        for run in runs
        if name in run.data.metrics
    ]
    return max(curves, key=len, default=())
