"""Healing: who is silent goes on in another process, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.actions import LogCreate
from prefect.events import Event, Resource
from prefect.events.filters import EventFilter, EventOccurredFilter
from prefect.states import Cancelling, Completed, Crashed, Paused, Pending, Running, Suspended

from flows.operations.healing import ATTEMPTS, LOST, heal
from tests.support.past_runs import PastRuns, past_runs
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import until

SILENT = timedelta(hours=1)
LATER = timedelta(hours=2)  # nothing is heard of the runs until then
LONG_AFTER = timedelta(hours=5)


@pytest.fixture
def past(prefect_server: PrefectServer) -> Iterator[PastRuns]:
    """Runs in a server that was looked at a moment ago."""
    with past_runs() as made:
        made.alone("watch", Running())
        made.of(made.deploy("watch"), Running(), Completed())
        yield made


def heal_in(past: PastRuns, hours: timedelta) -> None:
    heal(past.client, SILENT, datetime.now(UTC) + hours)


def beat(past: PastRuns, run: UUID, moment: datetime) -> None:
    """A heartbeat, as the run's process sends it."""
    resource = Resource({"prefect.resource.id": f"prefect.flow-run.{run}"})
    event = Event(event="prefect.flow-run.heartbeat", resource=resource, occurred=moment, id=uuid4())
    past.client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()


@pytest.mark.slow
@pytest.mark.parametrize("state", [Running(), Pending()], ids=["running", "pending"])
def test_a_silent_run_crashes_and_is_scheduled_again(past: PastRuns, state: Any) -> None:
    run = past.of(past.deploy("finetune"), state)
    heal_in(past, timedelta(minutes=30))
    assert past.state(run) == state.name
    heal_in(past, LONG_AFTER)
    assert past.state(run) == "AwaitingRetry"
    assert "Crashed" in [each.name for each in past.client.read_flow_run_states(run.id)]


def test_a_lost_sweep_goes_on_and_begins_its_runs_again_itself(past: PastRuns) -> None:
    sweep, trial = past.of(past.deploy("sweep"), Running()), past.alone("trial", Running())
    heal_in(past, LONG_AFTER)
    assert [past.state(run) for run in (sweep, trial)] == ["AwaitingRetry", "Crashed"]


@pytest.mark.slow
def test_heartbeats_logs_and_progress_are_signs_of_life(past: PastRuns) -> None:
    later = datetime.now(UTC) + LATER
    owner = past.deploy("finetune")
    silent, beating, logging = (past.of(owner, Running()) for _ in range(3))
    for run in (silent, beating, logging):
        beat(past, run.id, datetime.now(UTC))
    beat(past, beating.id, later - SILENT / 2)
    line = LogCreate(name="x", level=20, message="here", timestamp=later - SILENT / 2, flow_run_id=logging.id)
    past.client.create_logs([line])
    ahead = EventFilter(occurred=EventOccurredFilter(since=datetime.now(UTC), until=later))
    until(lambda: past.client.read_events(ahead, limit=1).events, "the server has not stored the heartbeat")
    heal_in(past, LATER)
    assert [past.state(run) for run in (silent, beating, logging)] == ["AwaitingRetry", "Running", "Running"]


@pytest.mark.slow
def test_a_run_that_waits_without_a_process_is_not_lost(past: PastRuns) -> None:
    owner = past.deploy("finetune")
    without: list[Any] = [Suspended(), Paused()]
    waiting = [past.of(owner, Running(), state) for state in without]
    mine = past.alone("finetune", Running())  # of a terminal: nothing starts it again
    others = past.of(past.deploy("somebody-elses"), Running())
    heal_in(past, LONG_AFTER)
    assert [past.state(run) for run in (*waiting, mine, others)] == [
        "Suspended",
        "Paused",
        "Crashed",
        "Running",
    ]


@pytest.mark.parametrize("name", ["watch", "reap", "history"])
def test_what_runs_by_the_clock_is_left_to_its_next_time(past: PastRuns, name: str) -> None:
    run = past.of(past.deploy(name), Running())
    heal_in(past, LONG_AFTER)
    assert past.state(run) == "Crashed"


@pytest.mark.slow
def test_a_run_whose_process_is_lost_while_it_is_cancelled_is_cancelled(past: PastRuns) -> None:
    run = past.of(past.deploy("finetune"), Running(), Cancelling())
    heal_in(past, LONG_AFTER)
    assert past.state(run) == "Cancelled"
    assert LOST in past.read(run.id).tags  # by which the watcher finds it, to release what it holds


@pytest.mark.slow
def test_a_run_that_crashes_again_and_again_is_given_up(past: PastRuns) -> None:
    owner = past.deploy("finetune")
    lost: list[Any] = [Running(), Crashed()]
    again = past.of(owner, *lost * (ATTEMPTS - 1))
    given_up = past.of(owner, *lost * ATTEMPTS)
    resumed = past.of(owner, *(Running() for _ in range(ATTEMPTS + 2)), Crashed())  # after suspensions
    heal_in(past, timedelta(0))
    assert [past.state(run) for run in (again, given_up, resumed)] == [
        "AwaitingRetry",
        "Crashed",
        "AwaitingRetry",
    ]


def test_the_first_look_after_a_pause_takes_nobody_for_lost(prefect_server: PrefectServer) -> None:
    with past_runs() as past:
        run = past.of(past.deploy("finetune"), Running())
        heal(past.client, timedelta(microseconds=1), datetime.now(UTC) + LONG_AFTER)
        assert past.state(run) == "Running"
