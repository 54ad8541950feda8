"""Facts of a workspace, by reading alone: with the doctor's look, and the functions of the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from azure.core.exceptions import HttpResponseError

from flows.doctor.look import Look
from flows.plan.facts import ComponentVersion, Facts, Like, Made
from flows.run import cores, training_cost
from flows.run.config import Finetune
from tasks import compute as clusters
from tasks import quota, register, serving_image
from tasks.azure import job_states, listing, sizes
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Failure
from tasks.azure.sizes import Size
from tasks.compute import Cluster
from tasks.core.lease import RUN
from tasks.core.log import logger
from tasks.core.names import dataset_name, endpoint_name, model_name
from tasks.data.datastore import addressed
from tasks.data.expected import expect
from tasks.data.prepared import PreparedData
from tasks.data.window import Window, tokenizer_file
from tasks.job import attempts
from tasks.job.parameters import inputs_of
from tasks.job.pipeline import Work, plan_job
from tasks.model_version import BaseModelVersion
from tasks.quota import Room
from tasks.serving_image import ServingImage

_DENIED = 403


def facts(config: Finetune, run: str | None = None, like: Iterable[Like] = ()) -> Facts:
    """Look at everything that the run would; `run` is the flow run's id, where there is one already.

    Raises Failure for what leaves nothing to plan: no sign-in, no such model, component, size or data.
    """
    # A retired model is looked at all the same: that it is refused belongs to the plan.
    lax = config.base.model_copy(update={"allow_retired": True})
    look = Look(config.model_copy(update={"base": lax}))
    session, base, component = look.session.own(), look.base.own(), look.component.own()
    cluster, problem = _cluster(look, config, base)
    size = sizes.find(session, cluster.size if cluster else config.compute.size)
    serving = sizes.find(session, config.deploy.instance_type)
    exists = look.cluster.own() is not None
    found = Facts(
        base=base,
        component=ComponentVersion(
            id=component.id,
            name=component.name,
            version=str(component.version),
            inputs=inputs_of(component),
        ),
        training=size,
        serving=serving,
        tier=config.compute.tier,
        data=expect(addressed(config.data, session), base.window),
        offline=False,
        workspace=session.workspace,
        workspace_id=session.workspace_id,
        cluster_exists=None if config.compute.is_serverless else exists,
        rooms=_rooms(session, config, (size, serving), exists=exists),
        weights=_weights(base.window),
        like=tuple(like),
        image=_image(session, config, base),
        problems=(problem,) if problem else (),
    )
    if found.data.prepared is None:
        return found
    return _with_job(session, config, found, found.data.prepared, run)


def again(config: Finetune, facts: Facts) -> Facts:
    """The facts for a configuration that differs in its parameters alone: only its job is looked for."""
    before = replace(facts, fingerprint=None, job_name=None, job=None, model=None, endpoint=None)
    if before.data.prepared is None:
        return before
    session = Look(config).session.own()
    return _with_job(session, config, before, before.data.prepared, None)


def _cluster(look: Look, config: Finetune, base: BaseModelVersion) -> tuple[Cluster | None, Failure | None]:
    """The cluster as a run would use it, and why it would not."""
    session = look.session.own()
    if config.compute.is_serverless or look.cluster.own() is None:
        return None, None
    try:
        return clusters.check_cluster(session, look.found_cluster(session), config.compute, base), None
    except Failure as failure:
        return None, failure


def _rooms(
    session: Session, config: Finetune, machines: tuple[Size, Size], *, exists: bool
) -> tuple[Room, ...]:
    """The quota beside what the run needs; empty where it may not be read, as in a run."""
    training, serving = machines
    try:
        rows = quota.usages(session)
    except HttpResponseError as error:
        if error.status_code != _DENIED:
            raise
        logger().warning("The quota cannot be read: %s", explain(error).what)
        return ()
    return quota.rooms(cores.needs(config, training, serving, exists=exists), rows)


def _image(session: Session, config: Finetune, base: BaseModelVersion) -> ServingImage | None:
    """The image that the model's MLmodel names; None where that cannot be read."""
    try:
        return serving_image.find_image(session, config.base, base)
    except Exception as error:  # noqa: BLE001 - a run does not need it, and says so as well
        logger().info("The serving image is not known: %s", explain(error).what)
        return None


def _weights(window: Window) -> int | None:
    file = tokenizer_file(window.tokenizer) if window.tokenizer else None
    return training_cost.parameters_of(file.with_name("config.json")) if file else None


def _with_job(session: Session, config: Finetune, facts: Facts, data: PreparedData, run: str | None) -> Facts:
    """The facts with the job that the run would use or make, which the prepared data decides."""
    compute, size = config.compute, facts.training
    cluster = Cluster(
        name=compute.training,
        size=size.name,
        gpus=size.gpus,
        nodes=compute.nodes,
        price=size.hourly(facts.tier),
        created=False,
    )
    work = Work(pipeline=config.pipeline, compute=compute, base=facts.base, data=data, cluster=cluster)
    planned = plan_job.fn(session, work, config.parameters)
    found = replace(facts, fingerprint=planned.fingerprint)
    if config.fresh and run is None:  # named after a flow run that there is not yet
        return found
    fresh_for = run if config.fresh else None
    named = attempts.names(facts.base.name, planned.fingerprint, fresh_for)
    attempt, last = attempts.last(session, named)
    if last is None or last.state in job_states.GIVEN_UP:
        return replace(found, job_name=named(attempt + 1))
    name = config.registration.name or model_name(facts.base.name, dataset_name(data.source))
    model = register.find(session, name, last.name)
    dataset = dataset_name(data.source)
    endpoint = config.deploy.endpoint or endpoint_name(dataset, last.name, session.workspace_id)
    serving = listing.endpoint(session, endpoint)
    return replace(
        found,
        job_name=last.name,
        job=Made(name=last.name, state=last.state, run=_holder(last.tags)),
        model=Made(name=f"{name}:{model.version}", state="", run=_holder(model.tags)) if model else None,
        endpoint=Made(name=endpoint, state=serving.state, run=_holder(serving.tags)) if serving else None,
    )


def _holder(tags: Mapping[str, str] | None) -> str | None:
    return (tags or {}).get(RUN)
