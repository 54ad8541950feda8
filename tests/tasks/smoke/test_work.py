"""Patience: refusals that pass are tried again, outages outlasted, and everything else raised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.azure import sizes
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import Lease
from tasks.smoke.plan import ENVIRONMENT, SIZE, planned, with_identity
from tasks.smoke.work import Needed, Work, expect
from tests.support.failures import fails


@pytest.fixture
def work(session: Session, lease: Lease) -> Work:
    plan = planned(sizes.find(session, SIZE), ENVIRONMENT, 1.0)
    return Work(session, plan, lease, Path(), say=lambda detail: None)


def once(error: Exception) -> Callable[[], str]:
    """Raises the error, and answers the next time."""
    errors = [error]

    def ask() -> str:
        if errors:
            raise errors.pop()
        return "there"

    return ask


def test_an_outage_is_outlasted_while_something_is_waited_for(work: Work) -> None:
    assert work.until(once(ConnectionError("reset")), "it", 60) == "there"
    with fails(Cause.PERMISSION):
        work.until(once(Failure("No.", cause=Cause.PERMISSION)), "it", 60)
    with fails(Cause.TIMED_OUT, "for it"):
        work.until(lambda: None, "it", 0)


@pytest.mark.parametrize("error", [ConnectionError("reset"), Failure("Taken.", cause=Cause.NAME_TAKEN)])
def test_a_refusal_that_passes_is_noted(work: Work, error: Exception) -> None:
    assert work.insist(once(error), 60) == "there"
    assert len(work.refusals) == 1


def test_a_refusal_for_good_is_raised(work: Work) -> None:
    with fails(Cause.QUOTA):
        work.insist(once(Failure("No cores.", cause=Cause.QUOTA)), 60)
    with fails(Cause.NAME_TAKEN):
        work.insist(once(Failure("Taken.", cause=Cause.NAME_TAKEN)), -1)
    assert work.refusals == []


def test_what_is_missing_or_otherwise_is_said(work: Work) -> None:
    with pytest.raises(Needed, match="there is no model"):
        work.need("model", work.model)
    with fails(Cause.OTHER, "two layers"):
        expect(False, "two layers")
    expect(True, "nothing")


def test_an_identity_is_checked_before_anything_is_made(work: Work) -> None:
    assert with_identity(work.plan, "system").identity == "system"
    assert with_identity(work.plan, None).identity is None
    with fails(Cause.CONFIGURATION, "'mine'"):
        with_identity(work.plan, "mine")
