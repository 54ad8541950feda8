"""The price of a run, asked of the service however the run ends, while it still knows what there was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.runtime import flow_run as this_run

from flows.run import earlier
from flows.run.context import Run
from flows.run.spent import Spent
from tasks import spending
from tasks.azure import service_clock
from tasks.azure.errors import explain
from tasks.core import signals
from tasks.core.lease import is_held_by
from tasks.core.stage import logger
from tasks.job import pipeline
from tasks.job.meter import Bill, Meter


@contextmanager
def priced(run: Run) -> Iterator[None]:
    """Price what the block has used, however it ends; a suspended run is not over."""
    try:
        yield
    except Pause:
        raise
    except BaseException:
        run.spent = _spent(run)
        raise
    run.spent = _spent(run)


def note_served(run: Run, endpoint: str) -> None:
    """Note what the run has behind the endpoint, which is about to be deleted or kept."""
    try:
        run.served = spending.deployments(run.session, endpoint, run.id)
    except Exception as error:  # noqa: BLE001 - what costs is to be released all the same
        logger().warning("What the endpoint %s has cost cannot be seen: %s", endpoint, explain(error).what)


def end_served(run: Run) -> None:
    """Note that what was behind the endpoint is not the run's any more."""
    served = Run.served.of(run) or ()
    run.served = tuple(each if each.ended is not None else each.over() for each in served)


def _spent(run: Run) -> Spent:
    now = service_clock.now()
    serving = sum(each.dollars(now) for each in Run.served.of(run) or ()) + _served_before(run)
    return Spent(training=_training(run), serving=serving)


def _served_before(run: Run) -> float:
    """What was served by an earlier process of the same run, which has ended, and its endpoint with it."""
    if (this_run.run_count or 0) <= 1:
        return 0.0
    try:
        return earlier.served_by(run.id)
    except Exception as error:  # noqa: BLE001 - the run has ended in its own way
        logger().warning("What the run has reported before cannot be seen: %s", error)
        return 0.0


def _training(run: Run) -> Bill:
    """Asked once: a service that is away delays no end, and what was seen of the job until then counts."""
    meter = Run.meter.of(run)
    if meter is None:
        return Bill(at_least=False)
    if signals.leaving():
        return _seen(run, meter)
    try:
        fresh_for = run.id if run.config.fresh else None
        named = pipeline.names(run.base.name, run.plan, fresh_for)
        attempts = pipeline.attempts(run.session, named, run.id, _created())
        held = [job for job in attempts if is_held_by(job.tags, run.id)]
        return spending.training(run.session, held, meter, Run.released.of(run))
    except Exception as error:  # noqa: BLE001 - the run has ended in its own way
        logger().warning("What the job has cost in all cannot be seen: %s", explain(error).what)
        return _seen(run, meter)


def _created() -> datetime | None:
    """When the flow run was, whichever of its processes this is: it has submitted nothing before."""
    context = FlowRunContext.get()
    return context.flow_run.created if context and context.flow_run else None


def _seen(run: Run, meter: Meter) -> Bill:
    """What was seen of the job while it was waited for; another run's job is that run's to pay."""
    submission = Run.submission.of(run)
    return Bill(at_least=False) if submission is not None and submission.reused else meter.last
