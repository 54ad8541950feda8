"""The flow: fine-tune a chat model, prove that it answers, leave nothing running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.flows import Flow
from prefect.futures import PrefectFuture, wait
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import run as artifacts
from flows.run import outcome, suspension
from flows.run.config import Finetune
from flows.run.forecast import forecast
from flows.run.report import Findings, RunReport
from flows.run.workspace import opened
from tasks.azure.clients import Session
from tasks.azure.failure import Failure
from tasks.azure.sizes import Size
from tasks.base_model import BaseModelVersion, find_model
from tasks.compute import Cluster, find_compute
from tasks.core.lease import Lease
from tasks.core.signals import undisturbed
from tasks.core.stage import logger, tell, watching
from tasks.data import PreparedData, prepare_data
from tasks.delete import Deletion, delete_cluster, delete_endpoint, keep_endpoint
from tasks.deploy import BASE, Deployment, check_deployment, deploy_model
from tasks.endpoint import Endpoint, lost, name_of, open_endpoint, route
from tasks.invoke import Conversation, ask
from tasks.job.pipeline import Plan, plan_job, submit_job
from tasks.job.wait import TrainedJob, wait_for_job
from tasks.metrics import read_metrics
from tasks.register import RegisteredModel, register_model
from tasks.release import cancel_jobs, release
from tasks.sign_in import sign_in

# A cancelled run has 30 s until it is killed; what is left then is for the hook and for `finetune reap`.
_GRACE = 10.0
# How many other runs of the same job may take the endpoint from under this one before it gives up.
_OTHERS = 3
_DEFAULTS = Finetune()


# A hook's parameters must have these names, and it must be a plain function.
def release_what_is_left(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Delete what a run that was cancelled or has crashed still bills; runs wherever that was noticed."""
    config = Finetune.model_validate(flow_run.parameters.get("config") or {})
    with opened(config.workspace.where, config.workspace.credentials):
        session = sign_in.fn(config.workspace)
        # A crashed run's job goes on, for the run that resumes it; nobody wants a cancelled run's any more.
        release(session, str(flow_run.id), training=state.is_cancelled() or state.is_cancelling())


@flow(
    name="finetune",
    flow_run_name=outcome.initial_name,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
    on_cancellation=[release_what_is_left],
    on_crashed=[release_what_is_left],
)
def finetune(config: Finetune = _DEFAULTS) -> RunReport:
    """Fine-tune a chat model on Azure ML, register it, prove it behind an endpoint, delete the endpoint."""
    failure: Exception | None = None
    findings = Findings(config, run=str(this_run.id), trigger=_trigger())
    lease = Lease.of_run(findings.run, config.deploy.lease_hours + config.wait.timeout_hours)
    try:
        with (
            opened(config.workspace.where, config.workspace.credentials),
            watching(findings.watch),
        ):
            _run(config, findings, lease)
    except Exception as error:  # noqa: BLE001 - it is the result of a state that reads better
        failure = findings.failure = error
    except Pause:  # suspended: the run goes on in another process, and has nothing to report yet
        raise
    except BaseException as error:
        findings.failure = error
        with undisturbed():
            artifacts.publish_report(findings.report(), findings)
        raise
    report = findings.report()
    artifacts.publish_report(report, findings)
    return outcome.end(report, failure)  # type: ignore[return-value]


class _Prepared(NamedTuple):
    """What the job is made of, checked before anything is paid for."""

    base: BaseModelVersion
    cluster: Cluster
    data: PreparedData
    serving: Size


def _run(config: Finetune, found: Findings, lease: Lease) -> None:
    """The stages, in their order; each result is kept as soon as it is there."""
    suspension.check(config.wait)
    session = found.session = sign_in(config.workspace)
    with _cluster_released(session, config, found, lease):
        prepared = _prepare(session, config, found, lease)
        plan, trained = _train(session, config, found, lease, prepared)
        with _endpoint(session, config, found, lease, plan, trained) as opening:
            model = _register(session, config, found, lease, prepared, plan, trained)
            found.endpoint = opening.result()
            found.conversation = _prove(session, config, found, lease, prepared, trained, model)
            artifacts.publish_conversation(found.conversation)


def _prepare(session: Session, config: Finetune, found: Findings, lease: Lease) -> _Prepared:
    """Prepare the data for the model's window while both computes are checked against the model."""
    base = found.base = find_model(session, config.base)
    preparing = prepare_data.submit(config.data, base.window)
    finding = find_compute.submit(session, config.compute, base, lease)
    serving = check_deployment(session, config.deploy, base)
    cluster = found.cluster = finding.result()
    data = found.data = preparing.result()
    artifacts.publish_data(data)
    return _Prepared(base, cluster, data, serving)


def _train(
    session: Session, config: Finetune, found: Findings, lease: Lease, prepared: _Prepared
) -> tuple[Plan, TrainedJob]:
    """Submit or find the job, and wait for it."""
    base, cluster, data, serving = prepared
    plan = found.plan = plan_job(
        session, config.pipeline, config.parameters, base, config.compute, cluster, data
    )
    outcome.show_plan(config, plan)
    price = forecast(config, cluster, serving)
    logger().info("Before anything is submitted: %s", price)
    tell("submit", price)
    artifacts.publish_plan(plan, found, price)
    with _cancelled_when_interrupted(session, lease):
        found.submission = submit_job(
            session,
            config.pipeline,
            config.compute,
            plan,
            base,
            data,
            lease.priced(cluster.hourly),
            config.fresh,
        )
    artifacts.publish_links(found)
    if config.wait.mode == "suspend":
        suspension.suspend_while_live(session, found.submission, cluster, config.wait)
    # In the main thread, where Ctrl-C and a worker's SIGTERM arrive: the wait cancels the job then.
    found.trained = wait_for_job(session, found.submission, cluster, config.wait)
    return plan, found.trained


def _register(
    session: Session,
    config: Finetune,
    found: Findings,
    lease: Lease,
    prepared: _Prepared,
    plan: Plan,
    trained: TrainedJob,
) -> RegisteredModel:
    """Read the metrics and register the model with them."""
    metrics = found.metrics = read_metrics(session, trained, plan)
    artifacts.publish_metrics(metrics)
    found.model = register_model(
        session, config.registration, plan, prepared.base, prepared.data, trained, metrics, lease
    )
    return found.model


def _prove(
    session: Session,
    config: Finetune,
    found: Findings,
    lease: Lease,
    prepared: _Prepared,
    trained: TrainedJob,
    model: RegisteredModel,
) -> Conversation:
    """Deploy the model and ask it.

    Runs of the same job at the same time share its endpoint, and the one that ends first may delete it: the
    other then makes it anew.
    """
    endpoint = found.endpoint
    assert endpoint is not None
    for others in range(_OTHERS, -1, -1):
        try:
            tuned, base = _deploy(session, config, found, lease, prepared, endpoint, model)
            return ask(session, config.invoke, prepared.data, tuned, base)
        except Failure as failure:
            if not others or not lost(session, endpoint, lease):
                raise
            logger().warning("Another run of this job had the endpoint, and ended: %s", failure)
        endpoint = found.endpoint = open_endpoint(session, endpoint.name, trained, lease)
    raise AssertionError("the last attempt returns or raises")


def _deploy(
    session: Session,
    config: Finetune,
    found: Findings,
    lease: Lease,
    prepared: _Prepared,
    endpoint: Endpoint,
    model: RegisteredModel,
) -> tuple[Deployment, Deployment | None]:
    """Deploy the tuned model, and the base model beside it when both shall be compared."""
    models = {config.deploy.deployment: model.id}
    if config.deploy.compare_with_base:
        models[BASE] = prepared.base.id
    deploying = [
        deploy_model.submit(session, config.deploy, endpoint, name, model_id, prepared.serving, lease)
        for name, model_id in models.items()
    ]
    wait(deploying)  # an endpoint with a deployment still being created could not be deleted
    found.deployments = [future.result() for future in deploying]
    route(session, endpoint, config.deploy.deployment)
    artifacts.publish_endpoint(found)
    tuned, *base = found.deployments
    return tuned, base[0] if base else None


@contextmanager
def _cancelled_when_interrupted(session: Session, lease: Lease) -> Iterator[None]:
    """Cancel what was submitted while the block was interrupted, before it could tell the job's name."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        with undisturbed():
            cancel_jobs(session, lease.run)
        raise


@contextmanager
def _endpoint(
    session: Session, config: Finetune, found: Findings, lease: Lease, plan: Plan, trained: TrainedJob
) -> Iterator[PrefectFuture[Endpoint]]:
    """An endpoint on its way, deleted however the block ends; kept only after success, and on request."""
    name = name_of(session, config.deploy.endpoint, plan, trained)
    opening = open_endpoint.submit(session, name, trained, lease)
    keep = interrupted = False
    try:
        yield opening
        keep = config.deploy.keep_endpoint is not None
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        raise
    finally:
        with undisturbed(interrupted):
            opening.wait(timeout=_GRACE if interrupted else None)  # until then it cannot be deleted
            found.deletion = _end(session, config, name, lease, keep)
            artifacts.publish_deletion(found.deletion)


def _end(session: Session, config: Finetune, name: str, lease: Lease, keep: bool) -> Deletion:
    if keep:
        return keep_endpoint(session, name, lease.extended(config.deploy.kept_hours()))
    try:
        return delete_endpoint(session, name, lease)
    except Failure as failure:
        logger().error("THE ENDPOINT %s STILL COSTS MONEY: %s Run `finetune reap`.", name, failure)
        raise


@contextmanager
def _cluster_released(session: Session, config: Finetune, found: Findings, lease: Lease) -> Iterator[None]:
    """Delete a cluster that this run created, unless it is to be kept or its job still runs."""
    keep, interrupted = config.compute.keep, False
    try:
        yield
    except BaseException as error:
        keep = keep or isinstance(error, Pause)  # the job of a suspended run goes on
        interrupted = not isinstance(error, Exception)
        raise
    finally:
        if not keep:
            with undisturbed(interrupted):
                delete_cluster(session, config.compute.training, lease)


def _trigger() -> str:
    """What started the run: a schedule, a deployment's button, or a person's own process."""
    if deployment.id is None:
        return "ad hoc"
    return "schedule" if "auto-scheduled" in (this_run.tags or []) else "deployment"
