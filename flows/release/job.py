"""A run's job, which goes on unless a person wants it gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prefect.exceptions import Pause

from flows.release.section import released
from flows.run.context import Run
from tasks.core import outage, signals
from tasks.core.ending import Ending, ending_of
from tasks.core.stage import logger
from tasks.job.wait import cancel_own, has_ended
from tasks.reap import cancel_jobs


@contextmanager
def job_unless_cancelled(run: Run) -> Iterator[None]:
    """Cancel the run's job when a person wants the run gone; by whatever else it is interrupted, it goes on.

    A job that the run has reused is another run's, and goes on as well.
    """
    try:
        yield
    except (Exception, Pause):
        raise
    except BaseException as error:
        signals.hold()
        run.stages.interrupt()
        if ending_of(error) is Ending.CANCELLED:
            released(run, lambda: _cancel_jobs(run))
        raise


def _cancel_jobs(run: Run) -> None:
    """Cancel the run's job, also one that was submitted without an answer yet, which only its tags tell."""
    submission = Run.submission.of(run)
    try:
        if submission is None:
            run.cancelled = outage.outlast(lambda: cancel_jobs(run.session, run.id), outage.CLEAN_UP)
        elif outage.outlast(lambda: cancel_own(run.session, submission.name, run.id), outage.CLEAN_UP):
            run.cancelled = (f"job {submission.name}",)
        else:
            run.job_has_ended = outage.outlast(
                lambda: has_ended(run.session, submission.name), outage.CLEAN_UP
            )
    except Exception as error:  # noqa: BLE001 - what else costs is to be released as well
        logger().error("The job COULD NOT BE CANCELLED and is still billed: %s", error)
