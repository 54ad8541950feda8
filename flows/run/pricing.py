"""The price of a run, asked of the service however the run ends, while it still knows what there was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.runtime import deployment
from prefect.runtime import flow_run as this_run

from flows.run import earlier
from flows.run.context import Run
from flows.run.spent import NOTHING, JobCost, Spent
from tasks import spending
from tasks.azure import listing, run_history, service_clock
from tasks.azure.errors import explain
from tasks.core import outage, signals
from tasks.core.ending import Ending, ending_of
from tasks.core.lease import Lease, is_held_by
from tasks.core.stage import asked, logger
from tasks.core.stages import Stage
from tasks.job import attempts
from tasks.job.meter import Bill, Meter
from tasks.removal import Removal

# How much of the outage budget the price is worth to a person who has pressed Ctrl-C, and waits for it. A
# process that somebody else ends has half a minute, and asks once.
_AT_A_TERMINAL, _AT_ONCE = 0.05, 0.0


@contextmanager
def priced(run: Run) -> Iterator[None]:
    """Price what the block has used, however it ends; a suspended run is not over."""
    try:
        yield
    except Pause:
        raise
    except Exception:
        run.spent = _spent(run, 1.0)
        raise
    except BaseException as error:
        is_awaited = ending_of(error) is Ending.CANCELLED and deployment.id is None
        run.spent = _spent(run, _AT_A_TERMINAL if is_awaited else _AT_ONCE)
        raise
    run.spent = _spent(run, 1.0)


def note_served(run: Run, endpoint: str) -> None:
    """Note what the run has behind the endpoint, which is about to be deleted or kept."""
    try:
        run.served = asked(
            Stage.DELETE,
            lambda: spending.deployments(run.session, endpoint, run.id),
            patience=outage.CLEAN_UP,
        )
    except Exception as error:  # noqa: BLE001 - what costs is to be released all the same
        logger().warning("What the endpoint %s has cost cannot be seen: %s", endpoint, explain(error).what)


def end_served(run: Run, removal: Removal | None) -> None:
    """Note that what was behind the endpoint is not the run's any more; None where another run has it."""
    served = Run.served.of(run) or ()
    run.served = tuple(each if each.ended is not None else each.over(removal) for each in served)


def _spent(run: Run, patience: float) -> Spent:
    now = service_clock.now()
    served = [each.bill(now) for each in Run.served.of(run) or ()]
    training, jobs = _training(run, patience)
    return Spent(training=training, serving=sum(served, _served_before(run)), jobs=jobs)


def _served_before(run: Run) -> Bill:
    """What was served by an earlier process of the same run, which has ended, and its endpoint with it."""
    if (this_run.run_count or 0) <= 1:
        return NOTHING
    try:
        return Bill(dollars=earlier.served_by(run.id), at_least=False)
    except Exception as error:  # noqa: BLE001 - the run has ended in its own way
        logger().warning("What the run has reported before cannot be seen: %s", error)
        return NOTHING


def _training(run: Run, patience: float) -> tuple[Bill, tuple[JobCost, ...]]:
    """What the run's jobs have cost; where the service stays away, what was seen of them until then."""
    meter = Run.meter.of(run)
    if meter is None:
        return NOTHING, ()
    if not signals.leaving():
        try:
            return asked(Stage.TRAIN, lambda: _of_jobs(run, meter), patience=patience)
        except Exception as error:  # noqa: BLE001 - the run has ended in its own way
            logger().warning("What the job has cost in all cannot be seen: %s", explain(error).what)
    return _seen(run, meter)


def _of_jobs(run: Run, meter: Meter) -> tuple[Bill, tuple[JobCost, ...]]:
    fresh_for = run.id if run.config.fresh else None
    named = attempts.names(run.base.name, run.plan.fingerprint, fresh_for)
    found = attempts.of_run(run.session, named, run.id, _created())
    held = [job for job in found if is_held_by(job.tags, run.id)]
    bill = spending.training(run.session, held, meter, Run.released.of(run))
    shares = spending.shares(run.session, held, meter.cluster, bill.dollars)
    jobs = [_cost(run, name, run.id, cost, cost) for name, cost in shares.items()]
    other = _others(run, Meter(meter.cluster) if held else meter)
    if other is None:
        return bill, tuple(jobs)
    return bill + Bill(dollars=other.counted), (*jobs, other)


def _others(run: Run, meter: Meter) -> JobCost | None:
    """The job that the run has reused, and what of it nobody else reports."""
    submission = Run.submission.of(run)
    if submission is None or submission.reused is None:
        return None
    found = listing.submitted(run.session, submission.name)
    holder = Lease.read(found.tags)
    if holder is None or holder.run == run.id:
        return None
    whole = spending.training(run.session, [found], meter, Run.released.of(run)).dollars
    ends = (step.ended for step in run_history.steps(run.session, submission.name) if step.ended)
    counted = earlier.unreported(holder.run, submission.name, whole, max(ends, default=None))
    if counted:
        logger().info(
            "$%.4f of job %s are counted here: nobody went on with flow run %s, which held it",
            counted,
            submission.name,
            holder.run,
        )
    return _cost(run, submission.name, holder.run, whole, counted)


def _cost(run: Run, name: str, holder: str, dollars: float, counted: float) -> JobCost:
    return JobCost(workspace=run.session.workspace, name=name, run=holder, dollars=dollars, counted=counted)


def _created() -> datetime | None:
    """When the flow run was, whichever of its processes this is: it has submitted nothing before."""
    context = FlowRunContext.get()
    return context.flow_run.created if context and context.flow_run else None


def _seen(run: Run, meter: Meter) -> tuple[Bill, tuple[JobCost, ...]]:
    """What was seen of the job while it was waited for; another run's job is that run's to pay."""
    submission, last = Run.submission.of(run), meter.last
    if submission is None:
        return last, ()
    if submission.reused is not None:
        holder = submission.reused.run
        return NOTHING, (_cost(run, submission.name, holder, last.dollars, 0.0),) if holder else ()
    return last, (_cost(run, submission.name, run.id, last.dollars, last.dollars),)
