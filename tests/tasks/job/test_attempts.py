"""The last attempt at a job, and those that a run may hold, found by few looks among however many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tasks.azure import listing
from tasks.azure.clients import Session
from tasks.azure.listing import Listed
from tasks.core.lease import RUN, Lease
from tasks.job import attempts

NAMED = attempts.names("base", "1a2b3c4d5e6f", None)
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


class Service:
    """Has so many failed jobs of a plan, submitted an hour apart by others; `looks` are those asked for."""

    def __init__(self, number: int) -> None:
        self.names = [NAMED(attempt) for attempt in range(1, number + 1)]
        self.holders: dict[str, str] = {}
        self.states: dict[str, str] = {}
        self.looks: list[str] = []

    def job(self, session: Session, name: str) -> Listed | None:
        self.looks.append(name)
        if name not in self.names:
            return None
        created = BEGUN + timedelta(hours=self.names.index(name))
        tags = Lease.of_run(self.holders.get(name, "other"), hours=1).tags()
        return Listed(name, self.states.get(name, "Failed"), tags, created, {}, {})


@pytest.mark.parametrize("number", [0, 1, 2, 3, 99, 100, 1234])
@pytest.mark.parametrize("state", ["Failed", "Running"])
def test_the_last_of_any_number_of_attempts_is_found(
    session: Session, monkeypatch: pytest.MonkeyPatch, number: int, state: str
) -> None:
    service = Service(number)
    service.states = dict.fromkeys(service.names[-1:], state)
    monkeypatch.setattr(listing, "job", service.job)
    last, job = attempts.last(session, NAMED)
    assert (last, job.name if job else None) == (number, NAMED(number) if number else None)
    assert len(service.looks) <= 25


def test_of_a_thousand_attempts_a_run_looks_at_those_since_it_was_created(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(1234)
    # It has submitted the last and the last but two, and holds one from before it was created all the same.
    service.holders = {service.names[place]: "mine" for place in (1229, 1231, 1233)}
    monkeypatch.setattr(listing, "job", service.job)
    found = list(attempts.of_run(session, NAMED, "mine", BEGUN + timedelta(hours=1231)))
    held = [job.name for job in found if job.tags[RUN] == "mine"]
    assert held == [service.names[place] for place in (1233, 1231, 1229)]
    assert len(service.looks) <= 30
