"""The pipeline job: the registry's component with the run's inputs, under a name that follows from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import compute as clusters
from tasks.azure import clients, job_states, listing
from tasks.azure.clients import Session
from tasks.azure.errors import explain, is_missing
from tasks.azure.failure import Cause, Failure
from tasks.base_model import BaseModelVersion
from tasks.compute import Cluster, Compute
from tasks.core.lease import PREFIX, Lease
from tasks.core.names import dataset_name, display_name, experiment_name, fingerprint
from tasks.core.reuse import Reused
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.data import PreparedData
from tasks.job import attempts
from tasks.job.parameters import ComponentInput, Effective, Parameters, Value, inputs_of, merge
from tasks.sections.compute import SERVERLESS
from tasks.sections.pipeline import Pipeline as Pipeline

OUTPUT = "trained_model"
CLUSTER = f"{PREFIX}cluster"
_IMMUTABLE = ("immutable", "already exists", "cannot be changed", "not allowed to update")


class Component(BaseModel):
    """The component's version in use, and what it takes."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    version: str
    inputs: dict[str, ComponentInput]


class Work(BaseModel):
    """What a job is made of, each part of it checked before anything is paid for."""

    model_config = ConfigDict(frozen=True)

    pipeline: Pipeline
    compute: Compute
    base: BaseModelVersion
    data: PreparedData
    cluster: Cluster


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
    reused: Reused | None = None

    def as_held(self, holder: str | None, run: str) -> Submission:
        """The same, for a run of which it is known by now who holds the job.

        Of runs that submit the same job at once each finds none, and Azure answers all of them alike: a
        second request that changes nothing but tags is an update. The tags say whose job it became.
        """
        if holder is None or (holder == run) is (self.reused is None):
            return self
        reused = None if holder == run else Reused(kind="job", name=self.name, run=holder)
        return self.model_copy(update={"reused": reused})


@stage(Stage.PARAMETERS)
def plan_job(session: Session, work: Work, parameters: Parameters) -> Plan:
    """Merge the parameters, drop what the component does not take, and name the whole by its fingerprint."""
    pipeline, base, cluster = work.pipeline, work.base, work.cluster
    component = find_component(session, pipeline)
    inputs = inputs_of(component)
    effective = merge(parameters, base.defaults, inputs)
    for name, why in effective.dropped.items():
        logger().info("Parameter %s is left out: %s", name, why)
    for name, was in effective.overridden.items():
        logger().info(
            "Parameter %s is %s (%s) instead of %s", name, effective.values[name], effective.origin[name], was
        )
    bindings: dict[str, Value] = {
        name: value for name, value in _bindings(work.compute, cluster).items() if name in inputs
    }
    dataset = dataset_name(work.data.source)
    return Plan(
        fingerprint=fingerprint(
            model=base.id,
            component=component.id,
            output=pipeline.output,
            data=work.data.sha256,
            parameters=effective.values,
            gpus=cluster.gpus,
            nodes=cluster.nodes,
        ),
        component=Component(
            id=component.id, name=component.name, version=str(component.version), inputs=inputs
        ),
        effective=effective,
        cluster=work.compute.training,
        inputs=bindings,
        display_name=display_name(base.name, dataset, effective.values, cluster.gpus, cluster.nodes),
        experiment=pipeline.experiment or experiment_name(base.name),
        dataset=dataset,
    )


@stage(Stage.SUBMIT)
def submit_job(session: Session, work: Work, plan: Plan, lease: Lease, fresh: bool) -> Submission:
    """Find the live or completed job of this fingerprint, or submit one.

    Asked again, after a lost answer or in another process, it finds the job that it made. A new attempt
    follows a job that failed or was cancelled.
    """

    named = attempts.names(work.base.name, plan.fingerprint, lease.run if fresh else None)
    attempt, last = attempts.last(session, named)
    if last is not None:
        if last.state not in job_states.GIVEN_UP:
            return _reuse(session, attempts.find(session, last.name), lease)
        logger().info("Job %s is %s: a new attempt follows", last.name, last.state)
    if not work.compute.is_serverless:
        # The run that had made the cluster may have ended since it was found, and deleted it.
        clusters.ensure(session, work.compute, work.base, lease)
    return _submit(session, work, plan, lease, named(attempt + 1))


def find_component(session: Session, pipeline: Pipeline) -> Any:
    """The SDK's component; raises Failure for one that is missing, or has not the output that is named."""
    component = _component(session, pipeline)
    if pipeline.output not in component.outputs:
        raise Failure(
            f"The component {component.name} has no output {pipeline.output!r}.",
            f"Set pipeline.output to one of: {', '.join(component.outputs)}.",
            cause=Cause.CONFIGURATION,
        )
    return component


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
            cause=Cause.NOT_FOUND,
        ) from error


def _bindings(compute: Compute, cluster: Cluster) -> dict[str, str | int]:
    """The clusters and machines as the component's inputs call them; of serverless ones it takes the size.

    For its steps without a GPU the component has a size of its own.
    """
    serverless = {"instance_type_finetune": cluster.size} if compute.is_serverless else {}
    if (compute.evaluation or compute.name).casefold() == SERVERLESS:
        serverless["instance_type_model_evaluation"] = cluster.size
    return {
        **serverless,
        "compute_model_import": compute.model_import or compute.name,
        "compute_preprocess": compute.preprocess or compute.name,
        "compute_finetune": compute.training,
        "compute_model_evaluation": compute.evaluation or compute.name,
        "num_nodes_finetune": cluster.nodes,
        "number_of_gpu_to_use_finetuning": max(cluster.gpus, 1),  # the component's minimum
    }


def _submit(session: Session, work: Work, plan: Plan, lease: Lease, name: str) -> Submission:
    base, data = work.base, work.data
    job = _build(session, work, plan)
    job.name = name
    job.display_name = plan.display_name
    job.settings.force_rerun = work.pipeline.force_rerun
    job.settings.continue_on_step_failure = work.pipeline.continue_on_step_failure
    job.tags = {
        **lease.tags(),
        f"{PREFIX}fingerprint": plan.fingerprint,
        CLUSTER: plan.cluster,
        f"{PREFIX}base-model": f"{base.name}:{base.version}",
        f"{PREFIX}component": f"{plan.component.name}:{plan.component.version}",
        f"{PREFIX}data": f"{data.source}@{data.revision}" if data.revision else data.source,
        f"{PREFIX}data-sha256": data.sha256,
    }
    report("uploading the data")
    try:
        made = clients.workspace(session).jobs.create_or_update(job, experiment_name=plan.experiment)
    except Exception as error:
        # Another run of the same inputs was faster, or the answer to our own request was lost.
        is_there = any(word in str(error).casefold() for word in _IMMUTABLE)
        found = attempts.find(session, name) if is_there else None
        if found is None:
            raise
        return _reuse(session, found, lease)
    logger().info("Submitted job %s", made.name)
    return _read(made)


def _reuse(session: Session, found: Any, lease: Lease) -> Submission:
    """The job found; one that this flow run has submitted earlier is its own."""
    holder = Lease.read(found.tags)
    if holder is not None and clients.state(found.status) not in job_states.FINAL:
        _renew(session, found.name, holder, lease)
    if holder is not None and holder.run == lease.run:
        return _read(found)
    reused = Reused(kind="job", name=found.name, run=holder.run if holder else None)
    logger().info("Reusing %s (same inputs, %s)", reused, clients.state(found.status))
    return _read(found, reused)


def _renew(session: Session, name: str, held: Lease, lease: Lease) -> None:
    """Let a live job's lease last for this run as well; it stays its holder's until it is over."""
    if lease.is_covered_by(held):
        return
    renewed = lease.over(held) if held.expired() else held.model_copy(update={"expires": lease.expires})
    try:
        listing.tag_job(session, name, renewed.tags())
    except Exception as error:  # noqa: BLE001 - the job goes on all the same
        logger().warning(
            "The lease of job %s cannot be renewed, it ends at %s: %s",
            name,
            held.expires.isoformat(timespec="minutes"),
            explain(error),
        )


def _read(job: Any, reused: Reused | None = None) -> Submission:
    return Submission(
        name=job.name,
        status=clients.state(job.status) or "NotStarted",
        created=getattr(job.creation_context, "created_at", None),
        studio_url=job.studio_url or "",
        reused=reused,
    )


def _reference(base: BaseModelVersion) -> str:
    """The model as a job's input names it: a registry's by its id, the workspace's own by its name."""
    return base.id if base.id.startswith("azureml://") else f"azureml:{base.name}:{base.version}"


def _build(session: Session, work: Work, plan: Plan) -> Any:
    """The pipeline around the component: one node, its model output published."""
    from azure.ai.ml import Input
    from azure.ai.ml.constants import AssetTypes
    from azure.ai.ml.dsl import pipeline as define

    component = find_component(session, work.pipeline)
    files = {
        "mlflow_model_path": Input(type=AssetTypes.MLFLOW_MODEL, path=_reference(work.base)),
        "train_file_path": Input(type=AssetTypes.URI_FILE, path=str(work.data.train.path)),
        "test_file_path": Input(type=AssetTypes.URI_FILE, path=str(work.data.test.path)),
    }
    if validation := work.data.validation:  # else the component cuts one from the training split
        files["validation_file_path"] = Input(type=AssetTypes.URI_FILE, path=str(validation.path))
    inputs = {
        **{name: value for name, value in files.items() if name in plan.component.inputs},
        **plan.inputs,
        **plan.effective.values,
    }

    @define(name=plan.display_name)  # type: ignore[untyped-decorator]
    def finetune() -> dict[str, Any]:
        node = component(**inputs)
        if component.type == "command":  # a component of one step runs where the training would
            node.compute = plan.cluster
            if work.compute.is_serverless:
                node.resources = {"instance_type": work.cluster.size, "instance_count": work.cluster.nodes}
        return {OUTPUT: node.outputs[work.pipeline.output]}

    return finetune()
