"""The sweep: the same recipe with several settings as one group of runs, of which the best goes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Annotated, Any
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field, ValidationError

from flows.finetune import finetune
from flows.operations import looks
from flows.plan import approval, history, workspace
from flows.release.hook import release_runs
from flows.run import outcome, parameters, run_name
from flows.run.config import Finetune, load
from flows.run.context import Run
from flows.run.flow_runs import SWEEP, flow_runs
from flows.run.report import RunReport
from flows.run.signature import DEFAULT_RECIPE, Recipe, Shown
from flows.run.workspace import opened
from flows.trials import grid, page, result
from flows.trials.grid import Sweep, Trial, Try
from flows.trials.group import Group
from flows.trials.plan import plan_of_group
from flows.trials.result import SweepReport
from flows.trials.trial import Running, explained
from flows.trials.watching import heard
from tasks.azure import errors
from tasks.azure.failure import Cause, Failure
from tasks.core import outage, output, signals
from tasks.core.display import displaying
from tasks.core.ending import Ending, ending_of
from tasks.core.log import Told
from tasks.core.stage import logger
from tasks.delete import delete_cluster


# A hook's parameters must have these names, and it must be a plain function.
def release_what_is_left(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Delete what the runs of a group that was cancelled or has crashed still bill, and its winner's run."""
    config = parameters.config_of(flow_run)
    training = state.is_cancelled() or state.is_cancelling()
    release_runs(config, (str(flow_run.id), *_winners(flow_run.id)), training=training)


@flow(
    name=SWEEP,
    flow_run_name=lambda: _name(),
    task_runner=ThreadPoolTaskRunner(max_workers=4),  # type: ignore[arg-type]
    on_cancellation=[release_what_is_left],
    on_crashed=[release_what_is_left],
)
def sweep(
    recipe: Annotated[Any, Recipe()] = DEFAULT_RECIPE,
    tries: Annotated[
        list[Try], Shown("The settings to try. Every combination of their values is trained once.")
    ] = [],  # noqa: B006 - Prefect copies it
    changes: Annotated[
        list[str], Shown("What differs from the recipe in all runs, such as data.train.take=10%.")
    ] = [],  # noqa: B006
    parallel: Annotated[int, Field(ge=1), Shown("Runs at a time. The cluster needs as many nodes.")] = 1,
    sample: Annotated[
        int | None, Field(ge=1), Shown("Only so many of the combinations, drawn by the seed.", left_out=True)
    ] = None,
    seed: Annotated[int, Shown("Which combinations a sample has.")] = 0,
    budget_usd: Annotated[
        float | None,
        Field(gt=0),
        Shown("No more training once all runs together have cost this many dollars.", left_out=True),
    ] = None,
) -> SweepReport:
    """Train a recipe with several settings, measure each, and deploy only the best.

    Each run is found again if it was trained before. The one with the lowest held-out loss goes on as a run
    of the fine-tune: to the gate, registration and deployment.
    """
    with output.unread(), signals.heeded(), errors.explained():
        wanted = _sweep(recipe, tries, changes, parallel, sample, seed, budget_usd)
        trials = grid.trials(wanted)
        if deployment.id is not None:
            looks.ask_for_closer()
        return _run(wanted, trials)  # type: ignore[no-any-return]


def _run(sweep: Sweep, trials: tuple[Trial, ...]) -> Any:
    """The state in which the group ends; raises what interrupts it, unless a person did at a terminal."""
    config = load(sweep.recipe, sweep.changes)
    approval.check(config)
    outcome.show_plan(config)  # by its tags the watcher knows that its jobs may go on
    group = Group(sweep, trials, str(this_run.id), heard)
    with (
        outage.budget(config.wait.outage_minutes),
        opened(config.workspace.where, config.workspace.credentials),
    ):
        _approved(sweep, trials, config)
        try:
            with _clusters_released(group):
                group.run()
                return _end(_report(sweep, group), group)
        except Exception:
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised again, or said in the state
            signals.hold()
            return _interrupted(sweep, group, error)


def _approved(sweep: Sweep, trials: tuple[Trial, ...], config: Finetune) -> None:
    """Have the group's plan approved where the recipe asks for that: its runs are not asked about again."""

    def publish() -> str:
        plan = plan_of_group(
            sweep,
            trials,
            lambda first: workspace.facts(first, like=history.like(first)),
            workspace.again,
        )
        page.publish_plan(plan)
        return page.summary_of_plan(plan)

    approval.wait_for(config, page.PLAN, publish)


def _end(report: SweepReport, group: Group) -> State[Any]:
    """Let the winner go on, and say how the group has ended."""
    page.publish(report)
    best = report.best
    if best is None:
        raise _without_a_winner(report, group.runs)
    logger().info("%s", page.summary(report))
    trial = next(running.trial for running in group.runs if running.trial.number == best.number)
    state = finetune(trial.config, return_state=True)
    final = state.result(raise_on_failure=False)
    if isinstance(final, RunReport):
        report = report.model_copy(update={"final": final})
        page.publish(report)
    line = page.summary(report)
    if state.is_completed():
        name = None if state.name == "Completed" else state.name  # such as that the gate was not passed
        return Completed(name=name, message=line, data=report)
    if state.is_cancelled():
        return Cancelled(message=f"{line}; its own run was cancelled")
    return Failed(message=f"{line}; its own run: {state.message}", data=final)


def _interrupted(sweep: Sweep, group: Group, error: BaseException) -> State[Any]:
    """Cancel what the runs hold if a person wants the group gone; by whatever else it ends, jobs go on."""
    wanted_gone = ending_of(error) is Ending.CANCELLED
    if wanted_gone and not signals.leaving():
        group.stop()
        group.leave()
    report = _report(sweep, group)
    page.publish(report)
    _mark_ended(group)
    if wanted_gone and isinstance(error, KeyboardInterrupt):
        line = f"Cancelled: {page.summary(report)}. Run the same again: what is trained is found."
        logger().warning("%s", line, extra=Told.GROUP.extra)
        return Cancelled(message=line)
    raise error


def _report(sweep: Sweep, group: Group) -> SweepReport:
    tried = group.found()
    return SweepReport(
        sweep=group.id,
        recipe=group.runs[0].trial.config.recipe if group.runs else sweep.recipe,
        tried=tried,
        repeated=result.repeated(tried),
        winner=result.winner(tried),
        budget_usd=sweep.budget_usd,
        budget_reached=group.over_budget,
    )


def _without_a_winner(report: SweepReport, runs: Any) -> Failure:
    """Why nothing goes on: the budget, the first failure, or runs that measure no held-out loss."""
    line = f"No run has won: {page.summary(report).partition(': ')[2]}"
    if report.budget_reached:
        return Failure(
            f"{line}, and the budget is spent.", "Raise the budget, or train less.", cause=Cause.BUDGET
        )
    failed: list[Running] = [each for each in runs if each.failure is not None]
    if failed:
        first = explained(failed[0].failure)
        return Failure(f"{line}. The first: {first.what}", first.do, first.details, cause=first.cause)
    return Failure(
        f"{line}, and none has measured a held-out loss.",
        "Set parameters.training.evaluation_strategy to epoch or steps.",
        cause=Cause.CONFIGURATION,
    )


@contextmanager
def _clusters_released(group: Group) -> Iterator[None]:
    """Delete the clusters that the runs have created, unless they are to be kept or their jobs go on."""
    try:
        yield
    except Exception:
        _release(group)
        raise
    except BaseException as error:
        signals.hold()
        if ending_of(error) is Ending.CANCELLED and not signals.leaving():
            group.stop()
            _release(group)
        raise
    _release(group)


def _release(group: Group) -> None:
    released: set[str] = set()
    for running in group.runs:
        config, session = running.trial.config, Run.session.of(running.run)
        name = config.compute.training
        if session is None or config.compute.keep or config.compute.is_serverless or name in released:
            continue
        released.add(name)
        delete_cluster(session, name, running.run.lease)


def _mark_ended(group: Group) -> None:
    """Say of the runs whose threads are left behind that they are over: nobody else will."""
    for running in group.runs:
        if running.flow_run is not None and not running.ended.is_set():
            with displaying(), get_client(sync_client=True) as client:
                ended: State[Any] = Cancelled(message="The sweep was interrupted.")
                client.set_flow_run_state(UUID(running.flow_run), ended, force=True)


def _winners(sweep: UUID) -> list[str]:
    """The runs of the fine-tune that the group has begun: its winner's, once for each of its processes."""
    of_sweep = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[sweep]))
    with get_client(sync_client=True) as client:
        return [str(run.id) for run in flow_runs(client, of_sweep)]


def _sweep(
    recipe: Any = DEFAULT_RECIPE,
    tries: Any = (),
    changes: Any = (),
    parallel: int = 1,
    sample: int | None = None,
    seed: int = 0,
    budget_usd: float | None = None,
) -> Sweep:
    """The parameters as what they say; raises Failure in one line for what they cannot mean."""
    try:
        return Sweep(
            recipe=recipe,
            tries=tries,
            changes=changes,
            parallel=parallel,
            sample=sample,
            seed=seed,
            budget_usd=budget_usd,
        )
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise Failure(f"The sweep is wrong: {wrong}.", cause=Cause.CONFIGURATION) from error


def _name() -> str:
    given = str(this_run.name)
    if run_name.is_given(given):
        return given
    file = PurePath(str(this_run.parameters.get("recipe") or DEFAULT_RECIPE))
    recipe = file.stem if file.suffix in (".yaml", ".yml") else file.name
    return f"sweep of {recipe} {datetime.now(UTC):%d %b %H:%M}"
