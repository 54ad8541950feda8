"""A run as lists of runs show it: its name, its tags, and the state in which it has ended."""

from __future__ import annotations

import re
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Completed, Failed

from flows.run import events, figures, parameters
from flows.run.config import Finetune
from flows.run.report import RunReport, failure_of
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.stage import displaying, logger
from tasks.job.pipeline import Plan

BUDGET_BEGINS = "Budget reached"  # the state's message of a run that has spent it
_RECIPE = "recipe: "


def initial_name() -> str:
    """Model and data share of the run that begins; Prefect asks for its name before the flow is called."""
    return _name(parameters.completed(this_run.parameters["config"]))


def show_plan(config: Finetune, plan: Plan) -> None:
    """Add what is known of the run by now to its name, and to its tags what people filter by."""
    tags = {*this_run.tags, f"{_RECIPE}{config.recipe}", f"model: {config.base.name}"}
    with displaying(), get_client(sync_client=True) as client:
        name = f"{_name(config)}, {plan.fingerprint}"
        client.update_flow_run(this_run.id, name=name, tags=sorted(tags))


def is_planned(run: FlowRun) -> bool:
    """Whether the run has had its plan shown, which comes before its job is submitted."""
    return any(tag.startswith(_RECIPE) for tag in run.tags)


def end(report: RunReport, failure: Exception | None) -> State[Any]:
    """The state that tells the outcome; with the report as its result, or the failure to be raised."""
    line = outcome(report)
    if failure is None:
        logger().info("%s", line)
        return Completed(message=line, data=report)
    _, details = failure_of(failure)
    expected = isinstance(failure, Failure)
    logger().error("%s\n%s", line, details, exc_info=None if expected else failure)
    if report.cause is Cause.BUDGET:
        events.budget_reached(report.run, this_run.name, line)
    return Failed(message=line, data=_told(failure))


def _told(failure: Exception) -> Failure:
    """What is kept and raised of the failure: an SDK's own error may hold secrets."""
    explained = explain(failure)
    if explained is not failure:
        explained.__cause__ = failure
    return explained


def cancelled(report: RunReport) -> State[Any]:
    """The state of a run that a person has interrupted at a terminal."""
    line = outcome(report)
    logger().warning("%s", line)
    return Cancelled(message=line)


def outcome(report: RunReport) -> str:
    """What became of the run, in one line."""
    if report.outcome == "completed":
        model = f"{report.model}:{report.model_version}"
        return f"{_served(report)}: {model} answers{_loss(report)}{_reused(report)}"
    begin = BUDGET_BEGINS if report.cause is Cause.BUDGET else report.outcome.capitalize()
    return f"{begin} at {report.failed_stage or 'the start'}: {report.failure}"


def _name(config: Finetune) -> str:
    take = config.data.train.take
    share = take if take.endswith("%") else f"{take} rows"
    dataset = re.split(r"[?#]", config.data.dataset)[0].rstrip("/").rsplit("/", 1)[-1]
    return f"{config.base.name}, {share} of {dataset}"


def _served(report: RunReport) -> str:
    """What became of the endpoint that proved the model."""
    return f"Proved, endpoint {report.deletion}" if report.deletion else "Proved"


def _loss(report: RunReport) -> str:
    losses = figures.losses(report.base_loss, report.eval_loss)
    return f", held-out loss {losses}" if losses else ""


def _reused(report: RunReport) -> str:
    return f"; reused {', '.join(map(str, report.reused))}" if report.reused else ""
