"""A run as lists of runs show it: its name, its tags, and the state in which it has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Completed, Failed

from flows.run import events, figures, parameters, run_name
from flows.run.config import Finetune
from flows.run.flow_runs import FLOW
from flows.run.report import RunReport, failure_of
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.display import displaying
from tasks.core.log import Told
from tasks.core.stage import logger

BUDGET_BEGINS = "Budget reached"  # the state's message of a run that has spent it
_RECIPE = "recipe: "
_REFUSED = "not passed"
_NOT_PASSED = "Not passed"  # the name of the state of a completed run whose model the gate has refused

Listener = Callable[[RunReport], None]

_listener: ContextVar[Listener] = ContextVar("listener", default=lambda report: None)


def initial_name() -> str:
    """The name of the run that begins; Prefect asks for it before each call of the flow."""
    given = str(this_run.name)
    if run_name.is_given(given):
        return given
    try:
        config = parameters.config_in(this_run.parameters, UUID(deployment.id) if deployment.id else None)
    except Failure:  # which is the run's, a moment later
        return given
    return run_name.name_of(config, datetime.now(UTC))


def show_plan(config: Finetune) -> None:
    """Add to the run's tags what people filter by: those of a deployment's run, and what it trains."""
    tags = {FLOW, config.workspace.where, f"{_RECIPE}{config.recipe}", f"model: {config.base.name}"}
    with displaying(), get_client(sync_client=True) as client:
        client.update_flow_run(this_run.id, tags=sorted({*this_run.tags, *tags}))


def is_planned(run: FlowRun) -> bool:
    """Whether the run has had its plan shown, which comes before its job is submitted."""
    return any(tag.startswith(_RECIPE) for tag in run.tags)


@contextmanager
def reported_to(listener: Listener) -> Iterator[None]:
    """Have the report of a run that ends within the block, also where no server hears of its state."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def end(report: RunReport, failure: Exception | None) -> State[Any]:
    """The state that tells the outcome; with the report as its result, or the failure to be raised."""
    _listener.get()(report)
    line = outcome(report)
    if failure is None:
        logger().info("%s", line)
        return Completed(name=_NOT_PASSED if report.gate == _REFUSED else None, message=line, data=report)
    _, details = failure_of(failure)
    expected = isinstance(failure, Failure)
    trace = None if expected else failure
    logger().error("%s\n%s", line, details, exc_info=trace, extra=Told.OUTCOME.extra)
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
    _listener.get()(report)
    line = outcome(report)
    logger().warning("%s", line, extra=Told.OUTCOME.extra)
    return Cancelled(message=line)


def outcome(report: RunReport) -> str:
    """What became of the run, in one line."""
    if report.outcome == "completed" and report.gate == _REFUSED:
        reasons = "; ".join(report.gate_reasons)
        return (
            f"{_NOT_PASSED}: {report.model}:{report.model_version} is a candidate{_loss(report)}: {reasons}"
        )
    if report.outcome == "completed" and report.sweep:
        return f"Trained{_loss(report)}{_reused(report)}"
    if report.outcome == "completed":
        model = f"{report.model}:{report.model_version}"
        return f"{_served(report)}: {model} answers{_loss(report)}{_reused(report)}"
    begin = BUDGET_BEGINS if report.cause is Cause.BUDGET else report.outcome.capitalize()
    return f"{begin} at {report.failed_stage or 'the start'}: {report.failure}"


def _served(report: RunReport) -> str:
    """What became of the endpoint that proved the model."""
    return f"Proved, endpoint {report.deletion}" if report.deletion else "Proved"


def _loss(report: RunReport) -> str:
    losses = figures.losses(report.base_loss, report.eval_loss)
    return f", held-out loss {losses}" if losses else ""


def _reused(report: RunReport) -> str:
    return f"; reused {', '.join(map(str, report.reused))}" if report.reused else ""
