"""The pipeline job: the registry's component with the run's inputs, under a name that follows from them."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tasks import compute as clusters
from tasks.azure import clients, run_history
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing, unless_missing
from tasks.azure.failure import Failure
from tasks.base_model import BaseModelVersion
from tasks.compute import Cluster, Compute
from tasks.core.lease import PREFIX, Lease
from tasks.core.names import display_name, fingerprint, job_name
from tasks.core.stage import logger, stage, tell
from tasks.data import PreparedData
from tasks.job.parameters import ComponentInput, Effective, Parameters, Value, inputs_of, merge

OUTPUT = "trained_model"
RECENT = 200  # jobs looked at where all would be too many, newest first
_CLUSTER = f"{PREFIX}cluster"
_DONE = {*run_history.ENDED, "CancelRequested"}  # nothing more will come of it
_ATTEMPTS = 99
_IMMUTABLE = ("immutable", "already exists", "cannot be changed", "not allowed to update")


class Pipeline(BaseModel):
    """The component that trains, and how its job is run."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Pipeline")

    component: str = Field("chat_completion_pipeline", description="The component's name.", min_length=1)
    version: str | None = Field(None, description="A version; the newest when left out.")
    registry: str | None = Field(
        "azureml", description="The registry that offers the component; empty for the workspace's own."
    )
    output: str = Field(
        "mlflow_model_folder", description="The component's output that holds the MLflow model."
    )
    experiment: str | None = Field(
        None, description="Experiment to list the job under; named after the model."
    )
    force_rerun: bool = Field(
        True, description="Run every step, also where Azure could reuse an earlier result."
    )
    continue_on_step_failure: bool = Field(
        False, description="Go on with steps that a failed one does not feed."
    )


class Component(BaseModel):
    """The component's version in use, and what it takes."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: str
    inputs: dict[str, ComponentInput]


class Plan(BaseModel):
    """Everything that the job will be, before anything is paid for."""

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    component: Component
    effective: Effective
    cluster: str  # where the training step runs
    inputs: dict[str, Value]  # clusters and GPUs, as the component calls them
    display_name: str
    experiment: str
    dataset: str


class Submission(BaseModel):
    """The job of this run: its own, or one found that was made from the same inputs."""

    model_config = ConfigDict(frozen=True)

    name: str
    status: str
    created: datetime | None
    studio_url: str
    adopted: bool
    adopted_from: str | None = None  # the flow run that submitted it


@stage("parameters")
def plan_job(
    session: Session,
    pipeline: Pipeline,
    parameters: Parameters,
    base: BaseModelVersion,
    compute: Compute,
    cluster: Cluster,
    data: PreparedData,
) -> Plan:
    """Merge the parameters, drop what the component does not take, and name the whole by its fingerprint."""
    component = _component(session, pipeline)
    inputs = inputs_of(component)
    effective = merge(parameters, base.defaults, inputs)
    for name, why in effective.dropped.items():
        logger().info("Parameter %s is left out: %s", name, why)
    for name, was in effective.overridden.items():
        logger().info(
            "Parameter %s is %s (%s) instead of %s", name, effective.values[name], effective.origin[name], was
        )
    bindings: dict[str, Value] = {
        name: value for name, value in _bindings(compute, cluster).items() if name in inputs
    }
    dataset = dataset_name(data)
    return Plan(
        fingerprint=fingerprint(
            model=base.id,
            component=component.id,
            output=pipeline.output,
            data=data.sha256,
            parameters=effective.values,
            gpus=cluster.gpus,
            nodes=cluster.nodes,
        ),
        component=Component(
            id=component.id, name=component.name, version=str(component.version), inputs=inputs
        ),
        effective=effective,
        cluster=compute.training,
        inputs=bindings,
        display_name=display_name(base.name, dataset, effective.values, cluster.gpus, cluster.nodes),
        experiment=pipeline.experiment or f"chat_completion_{base.name.replace('/', '-')}",
        dataset=dataset,
    )


@stage("submit")
def submit_job(
    session: Session,
    pipeline: Pipeline,
    compute: Compute,
    plan: Plan,
    base: BaseModelVersion,
    data: PreparedData,
    lease: Lease,
    fresh: bool,
) -> Submission:
    """Find the live or completed job of this fingerprint, or submit one.

    Asked again, after a lost answer or in another process, it finds the job that it made. A new attempt
    follows a job that failed or was cancelled.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        name = job_name(base.name, plan.fingerprint, attempt, lease.run if fresh else None)
        found = find(session, name)
        if found is None:
            # The run that had made the cluster may have ended since it was found, and deleted it.
            clusters.ensure(session, compute, base, lease)
            return _submit(session, pipeline, plan, base, data, lease, name)
        status = clients.state(found.status)
        if status not in _DONE or status == "Completed":
            return _adopt(found, lease)
        logger().info("Job %s is %s: a new attempt follows", name, status)
    raise Failure(
        f"{_ATTEMPTS} attempts at the job {plan.fingerprint} have failed.",
        "See why in the studio, and change the recipe.",
    )


def find(session: Session, name: str) -> Any:
    """The SDK's job, or None."""
    return unless_missing(lambda: clients.workspace(session).jobs.get(name))


def live_on(session: Session, cluster: str) -> list[str]:
    """This project's jobs that need the cluster, whichever run has submitted them."""
    recent = islice(clients.workspace(session).jobs.list(), RECENT)
    return [
        job.name
        for job in recent
        if (job.tags or {}).get(_CLUSTER) == cluster and clients.state(job.status) not in _DONE
    ]


def dataset_name(data: PreparedData) -> str:
    """The data's name within other names: the last part of where it came from."""
    return data.source.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".jsonl") or "data"


def _component(session: Session, pipeline: Pipeline) -> Any:
    components = clients.assets(session, pipeline.registry).components
    try:
        if pipeline.version:
            return components.get(pipeline.component, version=pipeline.version)
        return components.get(pipeline.component, label="latest")
    except Exception as error:
        if not is_missing(error):
            raise
        place = f"registry {pipeline.registry!r}" if pipeline.registry else "workspace"
        raise Failure(
            f"The {place} has no component {pipeline.component!r}"
            + (f" of version {pipeline.version}." if pipeline.version else "."),
            "Check pipeline.component, pipeline.version and pipeline.registry.",
            str(error),
        ) from error


def _bindings(compute: Compute, cluster: Cluster) -> dict[str, str | int]:
    """The clusters and machines as the component's inputs call them."""
    return {
        "compute_model_import": compute.model_import or compute.name,
        "compute_preprocess": compute.preprocess or compute.name,
        "compute_finetune": compute.training,
        "compute_model_evaluation": compute.evaluation or compute.name,
        "num_nodes_finetune": cluster.nodes,
        "number_of_gpu_to_use_finetuning": max(cluster.gpus, 1),  # the component's minimum
    }


def _submit(
    session: Session,
    pipeline: Pipeline,
    plan: Plan,
    base: BaseModelVersion,
    data: PreparedData,
    lease: Lease,
    name: str,
) -> Submission:
    job = _build(session, pipeline, plan, base, data)
    job.name = name
    job.display_name = plan.display_name
    job.settings.force_rerun = pipeline.force_rerun
    job.settings.continue_on_step_failure = pipeline.continue_on_step_failure
    job.tags = {
        **lease.tags(),
        f"{PREFIX}fingerprint": plan.fingerprint,
        _CLUSTER: plan.cluster,
        f"{PREFIX}base-model": f"{base.name}:{base.version}",
        f"{PREFIX}component": f"{plan.component.name}:{plan.component.version}",
        f"{PREFIX}data": f"{data.source}@{data.revision}" if data.revision else data.source,
        f"{PREFIX}data-sha256": data.sha256,
    }
    tell("submit", "uploading the data")
    try:
        made = clients.workspace(session).jobs.create_or_update(job, experiment_name=plan.experiment)
    except Exception as error:
        # Another run of the same inputs was faster, or the answer to our own request was lost.
        found = find(session, name) if any(word in str(error).casefold() for word in _IMMUTABLE) else None
        if found is None:
            raise
        return _adopt(found, lease)
    logger().info("Submitted job %s", made.name)
    return _read(made, adopted=False)


def _adopt(found: Any, lease: Lease) -> Submission:
    """The job found; its own earlier request of this flow run is no adoption."""
    holder = Lease.read(found.tags)
    own = holder is not None and holder.run == lease.run
    if not own:
        whose = f" of flow run {holder.run}" if holder else ""
        logger().info(
            "Adopted job %s%s (%s): the same inputs are not paid for twice",
            found.name,
            whose,
            clients.state(found.status),
        )
    return _read(found, adopted=not own, adopted_from=None if own or holder is None else holder.run)


def _read(job: Any, *, adopted: bool, adopted_from: str | None = None) -> Submission:
    return Submission(
        name=job.name,
        status=clients.state(job.status) or "NotStarted",
        created=getattr(job.creation_context, "created_at", None),
        studio_url=job.studio_url or "",
        adopted=adopted,
        adopted_from=adopted_from,
    )


def _build(
    session: Session, pipeline: Pipeline, plan: Plan, base: BaseModelVersion, data: PreparedData
) -> Any:
    """The pipeline around the component: one node, its model output published."""
    from azure.ai.ml import Input
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.dsl import pipeline as define

    component = _component(session, pipeline)
    files = {
        "mlflow_model_path": Input(type=AssetTypes.MLFLOW_MODEL, path=base.id),
        "train_file_path": Input(type=AssetTypes.URI_FILE, path=str(data.train.path)),
        "test_file_path": Input(type=AssetTypes.URI_FILE, path=str(data.test.path)),
    }
    inputs = {
        **{name: value for name, value in files.items() if name in plan.component.inputs},
        **plan.inputs,
        **plan.effective.values,
    }
    if pipeline.output not in component.outputs:
        raise Failure(
            f"The component {component.name} has no output {pipeline.output!r}.",
            f"Set pipeline.output to one of: {', '.join(component.outputs)}.",
        )

    @define(name=plan.display_name)  # type: ignore[untyped-decorator]
    def finetune() -> dict[str, Any]:
        node = component(**inputs)
        if component.type == "command":  # a component of one step runs where the training would
            node.compute = plan.cluster
        return {OUTPUT: node.outputs[pipeline.output]}

    return finetune()
