"""What a run that was interrupted says of its job."""

from __future__ import annotations

import pytest

from flows.run.config import Finetune
from flows.run.context import Run
from flows.run.interruption import summary
from tasks.job.pipeline import Submission


@pytest.fixture
def run() -> Run:
    made = Run(Finetune(), id="r", trigger="ad hoc")
    made.submission = Submission(name="j", status="NotStarted", created=None, studio_url="")
    return made


def test_a_job_that_ended_before_it_could_be_cancelled_is_not_said_to_go_on(run: Run) -> None:
    run.job_has_ended = True
    assert summary(run, KeyboardInterrupt(), 0.5) == "job j had ended; $0.50 spent."


def test_a_job_that_was_cancelled_is_said_to_be(run: Run) -> None:
    run.cancelled = ("job j",)
    assert summary(run, KeyboardInterrupt(), 0.5) == "job j cancelled; $0.50 spent."
