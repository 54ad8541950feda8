"""Registration: the trained model as a version in the workspace, with its lineage in tags."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import unless_missing
from tasks.base_model import BASE_MODEL
from tasks.core.lease import PREFIX, Lease
from tasks.core.limit import OPERATION
from tasks.core.names import model_name
from tasks.core.reuse import Reused
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.job.pipeline import Plan, Work
from tasks.job.wait import TrainedJob
from tasks.metrics import Metrics
from tasks.sections.register import Register as Register

JOB = f"{PREFIX}job"
_RUN = f"{PREFIX}run"


class RegisteredModel(BaseModel):
    """One version of a model of the workspace."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: str
    reused: Reused | None = None


class Training(BaseModel):
    """A completed job with what it reached, and what it was made of."""

    model_config = ConfigDict(frozen=True)

    work: Work
    plan: Plan
    job: TrainedJob
    metrics: Metrics


@stage(Stage.REGISTER, limit=OPERATION)
def register_model(session: Session, register: Register, training: Training, lease: Lease) -> RegisteredModel:
    """Register the job's model once: a version that names this job is found again."""
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.entities import Model

    base, data, plan, job = training.work.base, training.work.data, training.plan, training.job
    models = clients.workspace(session).models
    name = register.name or model_name(base.name, plan.dataset)
    earlier = _first_of_job(models, name, job.name)
    if earlier is not None:
        return _reuse(earlier, lease)
    made = models.create_or_update(
        Model(
            name=name,
            path=job.output,
            type=AssetTypes.MLFLOW_MODEL,
            description=f"{base.name} {base.version} fine-tuned on {data.source} by the job {job.name}.",
            tags={
                JOB: job.name,
                f"{PREFIX}fingerprint": plan.fingerprint,
                BASE_MODEL: base.id,
                f"{PREFIX}component": f"{plan.component.name}:{plan.component.version}",
                f"{PREFIX}data": data.source,
                f"{PREFIX}data-revision": data.revision or "",
                f"{PREFIX}data-sha256": data.sha256,
                _RUN: lease.run,
                **_losses(training.metrics),
            },
        )
    )
    first = _first_of_job(models, name, job.name) or made
    if first.version != made.version:
        # Two runs of the job have registered it at once. They must serve one version: each would take a
        # deployment of the other's for a wrong one.
        models.archive(name, version=made.version)
        return _reuse(first, lease)
    logger().info("Registered model %s:%s", made.name, made.version)
    return _read(made)


def find(session: Session, name: str, job: str) -> Any:
    """The SDK's model version that was registered from the job, or None."""
    return _first_of_job(clients.workspace(session).models, name, job)


def _reuse(earlier: Any, lease: Lease) -> RegisteredModel:
    """The version found; one of an earlier attempt of this flow run is its own."""
    run = (earlier.tags or {}).get(_RUN)
    if run == lease.run:
        return _read(earlier)
    reused = Reused(kind="model", name=f"{earlier.name}:{earlier.version}", run=run)
    logger().info("Reusing %s", reused)
    return _read(earlier, reused)


def _first_of_job(models: Any, name: str, job: str) -> Any:
    """The lowest version that names the job, or None; versions are numbers given out in turn."""
    every = unless_missing(lambda: list(models.list(name=name))) or ()  # missing: no model of that name yet
    made = [model for model in every if (model.tags or {}).get(JOB) == job]
    return min(made, key=lambda model: (len(model.version), model.version), default=None)


def _read(model: Any, reused: Reused | None = None) -> RegisteredModel:
    return RegisteredModel(id=model.id, name=model.name, version=str(model.version), reused=reused)


def _losses(metrics: Metrics) -> dict[str, str]:
    losses = {"base-loss": metrics.base_loss, "eval-loss": metrics.eval_loss}
    return {f"{PREFIX}{name}": f"{value:.4f}" for name, value in losses.items() if value is not None}
