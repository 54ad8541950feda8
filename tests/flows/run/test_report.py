"""The report of a run: what its failure is counted as."""

from __future__ import annotations

import pytest
from azure.core.exceptions import ClientAuthenticationError

from flows.run.config import Finetune
from flows.run.context import Run
from flows.run.report import RunReport, report_of
from tasks.azure.failure import Cause, Failure


def _report(failure: BaseException | None) -> RunReport:
    run = Run(Finetune(), "r", "ad hoc")
    run.failure = failure
    return report_of(run)


def _stopped(while_handling: BaseException) -> BaseException:
    """A signal that arrives while the run clears up after that failure."""
    stop = KeyboardInterrupt()
    stop.__context__ = RuntimeError("below")
    stop.__context__.__context__ = while_handling
    return stop


@pytest.mark.parametrize(
    ("failure", "outcome", "cause"),
    [
        (None, "completed", None),
        (Failure("It broke.", cause=Cause.QUOTA), "failed", Cause.QUOTA),
        (ClientAuthenticationError("outside of any stage"), "failed", Cause.SIGN_IN),
        (KeyError("dataset"), "failed", Cause.OTHER),
        (KeyboardInterrupt(), "cancelled", Cause.CANCELLED),
        (_stopped(Failure("Too expensive.", cause=Cause.BUDGET)), "cancelled", Cause.BUDGET),
        (_stopped(Failure("Too long.", cause=Cause.TIMED_OUT)), "cancelled", Cause.TIMED_OUT),
        (_stopped(Failure("No rows.", cause=Cause.DATA)), "cancelled", Cause.CANCELLED),
    ],
    ids=repr,
)
def test_the_report_keeps_the_cause(failure: BaseException | None, outcome: str, cause: Cause | None) -> None:
    report = _report(failure)
    assert (report.outcome, report.cause) == (outcome, cause)
    assert RunReport.model_validate_json(report.model_dump_json()).cause is cause
