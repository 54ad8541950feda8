"""The watcher's closer looks: begun by whatever may need one, and ended when nothing does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.states import AwaitingRetry, Cancelling, Completed, Crashed, Pending, Running, Scheduled

from flows.operations import looks
from flows.operations.healing import ATTEMPTS, is_live
from tests.support.past_runs import PastRuns, past_runs
from tests.support.prefect_server import PrefectServer

EVERY_HOUR = {"slug": "hourly", "schedule": {"interval": 3600}, "active": True}
CLOSER = {"slug": looks.CLOSER, "schedule": {"interval": 120}, "active": False}


@pytest.fixture
def past(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[PastRuns]:
    monkeypatch.setattr(looks, "WATCHER", "watch-of-this-test")  # others may have deployed theirs
    with past_runs() as made:
        made.forget_live()  # all that is live on a server is looked at
        yield made


@pytest.fixture
def watcher(past: PastRuns) -> UUID:
    """A watcher as prefect.yaml deploys it."""
    return past.deploy("watch-of-this-test", schedules=[EVERY_HOUR, CLOSER])


def active(past: PastRuns, watcher: UUID) -> set[str | None]:
    schedules = past.client.read_deployment(watcher).schedules
    return {schedule.slug for schedule in schedules if schedule.active}


def test_a_run_that_begins_is_looked_at_closer_and_an_idle_look_ends_that(
    past: PastRuns, watcher: UUID
) -> None:
    looks.ask_for_closer()
    assert active(past, watcher) == {"hourly", looks.CLOSER}
    looks.arrange(past.client, lambda: True)
    assert active(past, watcher) == {"hourly", looks.CLOSER}
    looks.arrange(past.client, lambda: False)
    assert active(past, watcher) == {"hourly"}


def test_an_hourly_look_that_finds_something_begins_the_closer_ones(past: PastRuns, watcher: UUID) -> None:
    looks.arrange(past.client, lambda: True)
    assert active(past, watcher) == {"hourly", looks.CLOSER}


def test_a_run_that_begins_while_they_are_ended_is_not_missed(past: PastRuns, watcher: UUID) -> None:
    looks.ask_for_closer()
    answers = iter([False, True])  # the run asked in between, when there was nothing to turn on
    looks.arrange(past.client, lambda: next(answers))
    assert active(past, watcher) == {"hourly", looks.CLOSER}


def test_a_watcher_with_schedules_of_ones_own_is_left_alone(past: PastRuns) -> None:
    mine = past.deploy("watch-of-this-test", schedules=[{**EVERY_HOUR, "slug": "mine", "active": False}])
    looks.ask_for_closer()
    assert active(past, mine) == set()


@pytest.mark.parametrize(
    "states",
    [
        [Running()],
        [Pending()],
        [Running(), Cancelling()],
        [Running(), Crashed()],  # scheduled again at the next look
        [Running(), Crashed(), AwaitingRetry()],
    ],
    ids=lambda states: states[-1].name,
)
def test_whatever_can_be_healed_keeps_the_looks_close(past: PastRuns, states: list[Any]) -> None:
    assert not is_live(past.client)
    past.of(past.deploy("finetune"), *states)
    assert is_live(past.client)


def test_what_has_ended_or_not_begun_does_not(past: PastRuns) -> None:
    owner = past.deploy("finetune")
    past.of(owner, Running(), Completed())
    past.of(owner, *[Running(), Crashed()] * ATTEMPTS)  # given up
    past.of(owner, Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=7)))
    assert not is_live(past.client)
