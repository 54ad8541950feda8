"""What a lost run has spent: put into its report by somebody else, or counted by who took its job over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Crashed, Running

from flows.run import earlier
from flows.run.config import parse
from flows.run.earlier import last_report, report_lost, report_served, spent_by, unreported
from flows.run.parameters import of
from tasks.job.meter import Bill
from tasks.spending import Served
from tests.support.past_runs import PastRuns, past_runs
from tests.support.prefect_server import PrefectServer

JOB = "base-0123456789ab"
WHOLE = 4.0
NOW = datetime.now(UTC)


@pytest.fixture
def past(prefect_server: PrefectServer) -> Iterator[PastRuns]:
    with past_runs() as made:
        yield made


def lost(past: PastRuns, *states: State[Any]) -> FlowRun:
    """A run without a report."""
    config = parse({"workspace": {"where": "local"}}, "tiny")
    owner = past.deploy("finetune", parameters=of(config), enforce_parameter_schema=False)
    return past.of(owner, *(states or (Running(), Crashed())))


def reported(past: PastRuns, run: FlowRun, dollars: float) -> None:
    spent = spent_by("w", str(run.id), {JOB: Bill(dollars=dollars)})
    report_lost(past.client, run, parse({}, "tiny"), spent)


def test_a_lost_runs_job_is_counted_by_whoever_goes_on_with_it(past: PastRuns) -> None:
    run = lost(past)
    assert unreported(str(run.id), JOB, WHOLE, None) == WHOLE
    reported(past, run, 1.0)
    assert unreported(str(run.id), JOB, WHOLE, None) == WHOLE - 1
    assert unreported(str(run.id), "another-job", WHOLE, None) == WHOLE
    reported(past, run, 0.99 * WHOLE)
    assert unreported(str(run.id), JOB, WHOLE, None) == 0


def test_what_a_run_has_reported_of_an_ended_job_is_all_of_it(past: PastRuns) -> None:
    """Whoever prices the job later does not know when its cluster was given up."""
    run = lost(past)
    reported(past, run, 1.0)
    report = last_report(past.client, run.id)
    assert report is not None
    assert unreported(str(run.id), JOB, WHOLE, report.ended - timedelta(minutes=1)) == 0
    assert unreported(str(run.id), JOB, WHOLE, report.ended + timedelta(minutes=1)) == WHOLE - 1


def test_the_job_of_a_run_that_lives_is_that_runs(past: PastRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    run = lost(past, Running())
    assert unreported(str(run.id), JOB, WHOLE, None) == 0
    monkeypatch.setattr(earlier, "_SILENT", timedelta())  # as if it had been silent for long
    assert unreported(str(run.id), JOB, WHOLE, None) == WHOLE


def test_a_run_that_this_server_does_not_know_reports_elsewhere(past: PastRuns) -> None:
    assert unreported(str(uuid4()), JOB, WHOLE, None) == 0
    assert unreported("somebody's", JOB, WHOLE, None) == 0


def test_what_a_killed_run_has_served_is_in_its_report_once(past: PastRuns) -> None:
    run, gone = lost(past), str(uuid4())
    served = [of_two_hours(str(run.id), 0.5), of_two_hours(str(run.id), 1.0), of_two_hours(gone, 7.0)]
    for _ in range(2):
        report_served(past.client, served)
    report = last_report(past.client, run.id)
    assert report is not None
    assert (report.serving_usd, report.training_usd, report.cost_usd) == (3.0, 0.0, 3.0)
    assert report.outcome == "crashed"
    reported(past, run, 1.0)
    report_served(past.client, served[:1])
    again = last_report(past.client, run.id)
    assert again is not None
    assert (again.serving_usd, again.training_usd, again.cost_usd) == (3.0, 1.0, 4.0)


def test_a_run_that_says_it_runs_and_whose_endpoint_was_reaped_has_a_report(past: PastRuns) -> None:
    run = lost(past, Running())
    report_served(past.client, [of_two_hours(str(run.id), 0.5)])
    report = last_report(past.client, run.id)
    assert report is not None
    assert (report.serving_usd, report.outcome) == (1.0, "crashed")


def of_two_hours(run: str, hourly: float) -> Served:
    begun = NOW - timedelta(hours=3)
    return Served(
        run=run, name="demo", hourly=hourly, created=begun, seen=NOW, ended=begun + timedelta(hours=2)
    )
