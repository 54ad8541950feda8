"""The flow: fine-tune a chat model, prove that it answers, leave nothing running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import Pause
from prefect.flows import Flow
from prefect.futures import wait
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import run as artifacts
from flows.evaluation import answers, judging
from flows.operations import epilogue, looks
from flows.plan import approval, page
from flows.plan.of_run import plan_of_run
from flows.release.cluster import cluster_released
from flows.release.endpoint import endpoint_released, rollout_settled
from flows.release.hook import release_runs
from flows.release.job import job_unless_cancelled
from flows.release.section import settled
from flows.run import interruption, outcome, parameters, place, pricing, suspension
from flows.run.config import Finetune
from flows.run.context import Run
from flows.run.earlier import report_served
from flows.run.forecast import forecast
from flows.run.forewarning import forewarn
from flows.run.report import RunReport, report_of
from flows.run.signature import DEFAULT_RECIPE, RECIPE, taking_the_configuration
from flows.run.workspace import opened
from tasks.azure.errors import explained
from tasks.azure.failure import Failure
from tasks.base_model import find_model
from tasks.compute import find_compute
from tasks.core import outage, output, signals
from tasks.core.display import displaying
from tasks.core.ending import Ending, ending_of
from tasks.core.log import Told
from tasks.core.stage import announce, asked, logger, observing
from tasks.core.stages import Stage
from tasks.data import prepare_data
from tasks.data.datastore import addressed
from tasks.delete import keep_endpoint
from tasks.deploy import BASE, Deployment, Wanted, check_deployment, deploy_model
from tasks.endpoint import lost, open_endpoint, route
from tasks.invoke import Conversation, ask
from tasks.job.meter import Meter
from tasks.job.pipeline import Work, plan_job, submit_job
from tasks.job.wait import wait_for_job
from tasks.metrics import read_metrics
from tasks.register import Training, register_model
from tasks.rollout.rollout import begin, questions, roll_out
from tasks.sign_in import sign_in

# How many other runs of the same job may take the endpoint from under this one before it gives up.
_OTHERS = 3


# A hook's parameters must have these names, and it must be a plain function.
def release_what_is_left(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Delete what a run that was cancelled or has crashed still bills; runs wherever that was noticed."""
    config = parameters.config_of(flow_run)
    # A crashed run's job goes on, for the run that resumes it; nobody wants a cancelled run's any more.
    training = state.is_cancelled() or state.is_cancelling()
    (released,) = release_runs(config, [str(flow_run.id)], training=training)
    with displaying(), get_client(sync_client=True) as client:
        report_served(client, released.served)
    if training:
        epilogue.begin(flow_run.id, released.things)


@flow(
    name="finetune",
    flow_run_name=outcome.initial_name,
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
    on_cancellation=[release_what_is_left],
    on_crashed=[release_what_is_left],
)
@taking_the_configuration
def finetune(recipe: str | Finetune = DEFAULT_RECIPE, **over: Any) -> RunReport:
    """Fine-tune a chat model on Azure ML, register it, prove it behind an endpoint, delete the endpoint.

    By the name of a recipe with settings and sections over it, or, in Python, by a whole configuration.
    """
    with output.unread(), signals.heeded(), explained():
        config = parameters.completed({RECIPE: recipe, **over})
        if deployment.id is not None:
            looks.ask_for_closer()
        report: RunReport = _run(Run(config, id=str(this_run.id), trigger=_trigger()))
        return report


def _run(run: Run) -> Any:
    """The state in which the run ends; raises what interrupts it, unless that was a person at a terminal."""
    config = run.config
    failure: Exception | None = None
    try:
        with (
            outage.budget(config.wait.outage_minutes),
            opened(config.workspace.where, config.workspace.credentials),
            observing(run.stages.record),
            pricing.priced(run),
        ):
            _stages(run)
    except Exception as error:  # noqa: BLE001 - it is the result of a state that reads better
        failure = run.failure = error
    except Pause:  # suspended: the run goes on in another process, and has nothing to report yet
        raise
    except BaseException as error:
        signals.hold()
        run.stages.interrupt()
        run.failure = error
        if signals.leaving():
            logger().error("%s", interruption.left(run), extra=Told.OUTCOME.extra)
            raise KeyboardInterrupt(interruption.left(run)) from None
        report = report_of(run)
        artifacts.publish_report(report, run)
        if isinstance(error, KeyboardInterrupt) and ending_of(error) is Ending.CANCELLED:
            return outcome.cancelled(report)
        raise
    report = report_of(run)
    artifacts.publish_report(report, run)
    return outcome.end(report, failure)


def _stages(run: Run) -> None:
    suspension.check(run.config.wait)
    approval.check(run.config)
    run.session = sign_in(run.config.workspace)
    approval.wait(run)
    with cluster_released(run):
        work = prepare(run)
        train(run, work)
        if not judging.admits(run):
            _register(run, work)
            judging.refuse(run)
            return
        if run.config.deploy.mode == "serve":
            _register(run, work)
            _serve(run)
            return
        with endpoint_released(run) as opening:
            _register(run, work)
            run.endpoint = opening.result()
            run.conversation = _prove(run)
            if judging.examine(run):
                judging.promote(run)
        if not run.judgement.passed:
            judging.refuse(run)


def prepare(run: Run) -> Work:
    """Prepare the data for the model's window while both computes are checked against the model."""
    session, config = run.session, run.config
    run.base = find_model(session, config.base)
    forewarn(session, config, run.base)
    preparing = prepare_data.submit(addressed(config.data, session), run.base.window)
    finding = find_compute.submit(session, config.compute, run.base, run.lease)
    with settled(run, finding):
        run.serving = check_deployment(session, config.deploy, run.base)
        run.cluster = finding.result()
    run.data = preparing.result()
    artifacts.publish_data(run.data)
    return Work(
        pipeline=config.pipeline, compute=config.compute, base=run.base, data=run.data, cluster=run.cluster
    )


def train(run: Run, work: Work) -> None:
    """Submit or find the job, and wait for it."""
    session, config = run.session, run.config
    run.plan = plan_job(session, work, config.parameters)
    outcome.show_plan(config)
    price = forecast(config, run.cluster, run.serving)
    logger().info("Before anything is submitted: %s", price)
    announce(Stage.SUBMIT, price)
    artifacts.publish_parameters(run.plan)
    with displaying():
        page.publish(plan_of_run(run))
    run.meter = Meter(run.cluster)
    waiter = suspension.waiter(run.id, config.wait, run.started)
    with job_unless_cancelled(run):
        lease = run.lease.priced(run.cluster.hourly)
        run.submission = submit_job(session, work, run.plan, lease, config.fresh)
        artifacts.publish_links(run)
        if config.wait.mode == "suspend":
            suspension.suspend_while_live(session, run.submission, run.cluster, config.wait, waiter)
        # In the main thread, where Ctrl-C and a worker's SIGTERM arrive.
        run.trained = wait_for_job(session, run.submission, run.meter, config.wait, waiter)
        run.submission = run.submission.as_held(run.trained.holder, run.id)
    run.metrics = read_metrics(session, run.trained, run.plan)


def _register(run: Run, work: Work) -> None:
    """Register the model with its metrics."""
    training = Training(work=work, plan=run.plan, job=run.trained, metrics=run.metrics)
    run.model = register_model(run.session, run.config.registration, training, run.lease)


def _prove(run: Run) -> Conversation:
    """Deploy the model and ask it.

    Runs of the same job at the same time share its endpoint, and the one that ends first may delete it: the
    other then makes it again.
    """
    run.told = answers.of_base(run)
    for others in range(_OTHERS, -1, -1):
        try:
            tuned, base = _deploy(run)
            found = ask(run.session, run.config.invoke, run.data, tuned, base)
            if base is None:
                found = found.model_copy(update={"base_answer": answers.to_the_sample(run, found.messages)})
            return found
        except Failure as failure:
            if not others or not asked(Stage.DEPLOY, lambda: lost(run.session, run.endpoint, run.lease)):
                raise
            logger().warning("Another run of this job had the endpoint, and ended: %s", failure)
        fixed = run.config.deploy.endpoint is not None
        run.endpoint = open_endpoint(
            run.session, run.endpoint.name, run.trained, run.serving_lease, fixed=fixed
        )
    raise AssertionError("the last attempt returns or raises")


def _deploy(run: Run) -> tuple[Deployment, Deployment | None]:
    """Deploy the tuned model, and the base model beside it if its answers are wanted and not known."""
    session, deploy = run.session, run.config.deploy
    models = {deploy.deployment: run.model.id}
    if deploy.compare_with_base and not run.told.answers:
        models[BASE] = run.base.id
    deploying = [
        deploy_model.submit(
            session, deploy, run.endpoint, Wanted(name=name, model=model, size=run.serving), run.serving_lease
        )
        for name, model in models.items()
    ]
    wait(deploying)  # an endpoint with a deployment still being created could not be deleted
    run.deployments = tuple(future.result() for future in deploying)
    route(session, run.endpoint, deploy.deployment, run.serving_lease)
    tuned, *base = run.deployments
    return tuned, base[0] if base else None


def _serve(run: Run) -> None:
    """Roll the model out behind its lasting endpoint, and ask it what a run that proves a model asks."""
    session, config, deploy = run.session, run.config, run.config.deploy
    name = f"{deploy.deployment}-{run.model.version}"
    wanted = Wanted(name=name, model=run.model.id, size=run.serving)
    with rollout_settled(run):
        rolling = begin(session, deploy, run.trained, wanted, run.serving_lease)
        run.endpoint = rolling.endpoint
        wanted = wanted.model_copy(update={"name": rolling.turn.new})
        run.deployments = (deploy_model(session, deploy, run.endpoint, wanted, run.serving_lease),)
        if not rolling.done and judging.examine(run):
            probes = questions(Path(run.data.test.path), config.invoke, deploy.rollout.probes)
            run.rolled_out = roll_out(session, deploy.rollout, rolling, probes)
            judging.promote(run)
        pricing.note_served(run, run.endpoint.name)
        until = run.serving_lease.extended(deploy.kept_hours())
        where = place.options(config.workspace, session)
        run.deletion = keep_endpoint(session, run.endpoint.name, until, where)
    if not run.judgement.passed:  # its deployment is taken back, and what served before serves on
        judging.refuse(run)
        return
    run.conversation = ask(session, config.invoke, run.data, run.deployments[0], None)


def _trigger() -> str:
    """What started the run: a schedule, a deployment's button, or a person's own process."""
    if deployment.id is None:
        return "ad hoc"
    return "schedule" if "auto-scheduled" in (this_run.tags or []) else "deployment"
