"""A suspension's key: what the watcher reads again, and what it leaves to whoever made it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.run import suspension
from flows.run.suspension import Suspension
from tasks.azure.failure import Failure
from tasks.job.wait import Wait

MADE = Suspension(job="base-0123 until noon", until=datetime(2026, 11, 23, 12, 0, 0, 5, tzinfo=UTC))


def test_a_suspension_is_read_from_its_key() -> None:
    assert Suspension.read(MADE.key) == MADE


def test_each_moment_is_a_key_of_its_own() -> None:
    later = MADE.model_copy(update={"until": datetime(2026, 11, 23, 13, tzinfo=UTC)})
    assert MADE.key != later.key


@pytest.mark.parametrize("key", [None, "", "by hand", "job until tomorrow", " until "])
def test_a_suspension_of_somebody_else_is_none_of_ours(key: str | None) -> None:
    assert Suspension.read(key) is None


def test_only_a_deployment_suspends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT__RUNTIME__DEPLOYMENT__ID", raising=False)
    suspension.check(Wait(mode="poll"))
    with pytest.raises(Failure):
        suspension.check(Wait(mode="suspend"))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "00000000-0000-0000-0000-000000000001")
    suspension.check(Wait(mode="suspend"))
