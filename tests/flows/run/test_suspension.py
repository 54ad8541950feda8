"""A suspension's key: what the watcher reads again, and what it leaves to whoever made it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flows.run import suspension
from flows.run.suspension import Suspension
from tasks.azure.failure import Cause
from tasks.job.wait import Wait
from tests.support.failures import fails
from tests.support.past_runs import past_runs
from tests.support.prefect_server import PrefectServer

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
    with fails(Cause.CONFIGURATION, "Set wait.mode to poll"):
        suspension.check(Wait(mode="suspend"))


@pytest.mark.slow
def test_only_what_a_watcher_will_resume_is_suspended(
    prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "00000000-0000-0000-0000-000000000001")
    monkeypatch.setattr(suspension, "WATCHER", "watch-of-this-test")  # others may have deployed theirs
    every_minute = {"schedule": {"interval": 60}, "active": True}
    with past_runs() as past:
        with fails(Cause.CONFIGURATION, "prefect --no-prompt deploy --name watcher", "wait.mode"):
            suspension.check(Wait(mode="suspend"))
        past.deploy("watch-of-this-test", schedules=[{**every_minute, "active": False}])
        past.deploy("watch-of-this-test", schedules=[every_minute], paused=True)
        with fails(Cause.CONFIGURATION, "is paused, or has no active schedule"):
            suspension.check(Wait(mode="suspend"))
        suspension.check(Wait(mode="poll"))
        monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", "2")
        suspension.check(Wait(mode="suspend"))  # resumed: what it has trained is not thrown away
        monkeypatch.delenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT")
        past.deploy("watch-of-this-test", schedules=[every_minute])
        suspension.check(Wait(mode="suspend"))
