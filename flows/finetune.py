"""The flow: fine-tune a chat model, prove that it answers, leave nothing running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
from flows.run.context import Run
from flows.run.forecast import forecast
from flows.run.report import RunReport, report_of
from flows.run.workspace import opened
from tasks.azure.failure import Failure
from tasks.base_model import find_model
from tasks.compute import find_compute
from tasks.core.signals import undisturbed
from tasks.core.stage import announce, logger, observing
from tasks.core.stages import Stage
from tasks.data import prepare_data
from tasks.delete import Deletion, delete_cluster, delete_endpoint, keep_endpoint
from tasks.deploy import BASE, Deployment, Wanted, check_deployment, deploy_model
from tasks.endpoint import Endpoint, lost, name_of, open_endpoint, route
from tasks.invoke import Conversation, ask
from tasks.job.pipeline import Work, plan_job, submit_job
from tasks.job.wait import wait_for_job
from tasks.metrics import read_metrics
from tasks.reap import cancel_jobs, release
from tasks.register import Training, register_model
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
    run = Run(config, id=str(this_run.id), trigger=_trigger())
    failure: Exception | None = None
    try:
        with opened(config.workspace.where, config.workspace.credentials), observing(run.stages.record):
            _stages(run)
    except Exception as error:  # noqa: BLE001 - it is the result of a state that reads better
        failure = run.failure = error
    except Pause:  # suspended: the run goes on in another process, and has nothing to report yet
        raise
    except BaseException as error:
        run.failure = error
        with undisturbed():
            artifacts.publish_report(report_of(run), run)
        raise
    report = report_of(run)
    artifacts.publish_report(report, run)
    return outcome.end(report, failure)  # type: ignore[return-value]


def _stages(run: Run) -> None:
    suspension.check(run.config.wait)
    run.session = sign_in(run.config.workspace)
    with _cluster_released(run):
        work = _prepare(run)
        _train(run, work)
        with _endpoint(run) as opening:
            _register(run, work)
            run.endpoint = opening.result()
            run.conversation = _prove(run)
            artifacts.publish_conversation(run.conversation)


def _prepare(run: Run) -> Work:
    """Prepare the data for the model's window while both computes are checked against the model."""
    session, config = run.session, run.config
    run.base = find_model(session, config.base)
    preparing = prepare_data.submit(config.data, run.base.window)
    finding = find_compute.submit(session, config.compute, run.base, run.lease)
    run.serving = check_deployment(session, config.deploy, run.base)
    run.cluster = finding.result()
    run.data = preparing.result()
    artifacts.publish_data(run.data)
    return Work(
        pipeline=config.pipeline, compute=config.compute, base=run.base, data=run.data, cluster=run.cluster
    )


def _train(run: Run, work: Work) -> None:
    """Submit or find the job, and wait for it."""
    session, config = run.session, run.config
    run.plan = plan_job(session, work, config.parameters)
    outcome.show_plan(config, run.plan)
    price = forecast(config, run.cluster, run.serving)
    logger().info("Before anything is submitted: %s", price)
    announce(Stage.SUBMIT, price)
    artifacts.publish_plan(run, price)
    with _cancelled_when_interrupted(run):
        lease = run.lease.priced(run.cluster.hourly)
        run.submission = submit_job(session, work, run.plan, lease, config.fresh)
    artifacts.publish_links(run)
    if config.wait.mode == "suspend":
        suspension.suspend_while_live(session, run.submission, run.cluster, config.wait)
    # In the main thread, where Ctrl-C and a worker's SIGTERM arrive: the wait cancels the job then.
    run.trained = wait_for_job(session, run.submission, run.cluster, config.wait)


def _register(run: Run, work: Work) -> None:
    """Read the metrics and register the model with them."""
    run.metrics = read_metrics(run.session, run.trained, run.plan)
    artifacts.publish_metrics(run.metrics)
    training = Training(work=work, plan=run.plan, job=run.trained, metrics=run.metrics)
    run.model = register_model(run.session, run.config.registration, training, run.lease)


def _prove(run: Run) -> Conversation:
    """Deploy the model and ask it.

    Runs of the same job at the same time share its endpoint, and the one that ends first may delete it: the
    other then makes it again.
    """
    for others in range(_OTHERS, -1, -1):
        try:
            tuned, base = _deploy(run)
            return ask(run.session, run.config.invoke, run.data, tuned, base)
        except Failure as failure:
            if not others or not lost(run.session, run.endpoint, run.lease):
                raise
            logger().warning("Another run of this job had the endpoint, and ended: %s", failure)
        run.endpoint = open_endpoint(run.session, run.endpoint.name, run.trained, run.lease)
    raise AssertionError("the last attempt returns or raises")


def _deploy(run: Run) -> tuple[Deployment, Deployment | None]:
    """Deploy the tuned model, and the base model beside it when both shall be compared."""
    session, deploy = run.session, run.config.deploy
    models = {deploy.deployment: run.model.id}
    if deploy.compare_with_base:
        models[BASE] = run.base.id
    deploying = [
        deploy_model.submit(
            session, deploy, run.endpoint, Wanted(name=name, model=model, size=run.serving), run.lease
        )
        for name, model in models.items()
    ]
    wait(deploying)  # an endpoint with a deployment still being created could not be deleted
    run.deployments = tuple(future.result() for future in deploying)
    route(session, run.endpoint, deploy.deployment)
    artifacts.publish_endpoint(run.deployments)
    tuned, *base = run.deployments
    return tuned, base[0] if base else None


@contextmanager
def _cancelled_when_interrupted(run: Run) -> Iterator[None]:
    """Cancel what was submitted while the block was interrupted, before it could tell the job's name."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        run.stages.interrupt()
        with undisturbed():
            cancel_jobs(run.session, run.id)
        raise


@contextmanager
def _endpoint(run: Run) -> Iterator[PrefectFuture[Endpoint]]:
    """An endpoint on its way, deleted however the block ends; kept only after success, and on request."""
    name = name_of(run.session, run.config.deploy.endpoint, run.plan, run.trained)
    opening = open_endpoint.submit(run.session, name, run.trained, run.lease)
    keep = interrupted = False
    try:
        yield opening
        keep = run.config.deploy.keep_endpoint is not None
    except BaseException as error:
        interrupted = not isinstance(error, Exception)
        if interrupted:
            run.stages.interrupt()
        raise
    finally:
        with undisturbed(interrupted):
            opening.wait(timeout=_GRACE if interrupted else None)  # until then it cannot be deleted
            run.deletion = _end(run, name, keep)
            artifacts.publish_deletion(run.deletion)


def _end(run: Run, name: str, keep: bool) -> Deletion:
    if keep:
        return keep_endpoint(run.session, name, run.lease.extended(run.config.deploy.kept_hours()))
    try:
        return delete_endpoint(run.session, name, run.lease)
    except Failure as failure:
        logger().error("The endpoint %s IS STILL BILLED: %s Run `finetune reap`.", name, failure)
        raise


@contextmanager
def _cluster_released(run: Run) -> Iterator[None]:
    """Delete a cluster that this run created, unless it is to be kept or its job still runs."""
    keep, interrupted = run.config.compute.keep, False
    try:
        yield
    except BaseException as error:
        keep = keep or isinstance(error, Pause)  # the job of a suspended run goes on
        interrupted = not isinstance(error, Exception)
        if interrupted:
            run.stages.interrupt()
        raise
    finally:
        if not keep:
            with undisturbed(interrupted):
                delete_cluster(run.session, run.config.compute.training, run.lease)


def _trigger() -> str:
    """What started the run: a schedule, a deployment's button, or a person's own process."""
    if deployment.id is None:
        return "ad hoc"
    return "schedule" if "auto-scheduled" in (this_run.tags or []) else "deployment"
