"""What is due to be reaped: what has outlived its lease, and nothing that goes with something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.reap import Reaping, due_of, headline, rows, unclear_of
from tasks.leased import Foreign, Leased

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def leased(kind: Any, name: str, hours: float, **fields: Any) -> Leased:
    return Leased(
        workspace="w",
        kind=kind,
        name=name,
        state="Succeeded",
        owner="ann",
        run="r",
        expires=NOW + timedelta(hours=hours),
        **{"hourly": 2.0, **fields},
    )


ENDPOINT = leased("endpoint", "e", -1)
DEPLOYMENT = leased("deployment", "d", -1, parent="e")
THEIRS = Foreign(name="theirs", size="Standard_NC24ads_A100_v4", count=2, hourly=7.346)
KEPT_UP = leased("endpoint", "e", -1, hourly=9.346, foreign=(THEIRS,))
UNREADABLE = leased("cluster", "c", 0, problem="its tag finetune.expires is 'soon'").model_copy(
    update={"expires": None}
)


@pytest.mark.parametrize(
    ("things", "due"),
    [
        ([], []),
        ([leased("cluster", "c", 1)], []),
        ([leased("cluster", "c", -1)], ["cluster c"]),
        ([leased("cluster", "c", 0)], ["cluster c"]),  # a lease does not include its end
        ([leased("job", "j", -1), leased("job", "k", 1)], ["job j"]),
        ([ENDPOINT, DEPLOYMENT], ["endpoint e"]),  # the deployment goes with it
        ([leased("endpoint", "e", 1), DEPLOYMENT], ["deployment e/d"]),
        ([DEPLOYMENT], ["deployment e/d"]),  # behind somebody else's endpoint
        # An endpoint that serves somebody else's deployment stays, and loses what is ours.
        ([KEPT_UP, DEPLOYMENT], ["deployment e/d"]),
        ([ENDPOINT, leased("deployment", "d", -1, parent="other")], ["endpoint e", "deployment other/d"]),
    ],
)
def test_what_is_past_its_lease_is_due_once(things: list[Leased], due: list[str]) -> None:
    assert [item.label for item in due_of(things, NOW)] == due


@pytest.mark.parametrize(("hours", "dollars"), [(1, 0), (0, 0), (-3, 6)])
def test_what_is_overdue_has_cost_since_the_lease_ended(hours: float, dollars: float) -> None:
    assert leased("endpoint", "e", hours).overdue(NOW) == dollars


def test_what_no_lease_will_ever_end_is_named_with_its_price_each_time() -> None:
    found = (KEPT_UP, DEPLOYMENT, UNREADABLE, leased("cluster", "fine", 1))
    unclear = unclear_of(found, NOW)
    assert unclear == (KEPT_UP, UNREADABLE)
    reaping = Reaping(at=NOW, dry_run=True, leased=found, due=due_of(found, NOW), unclear=unclear)
    assert "2 FOR A PERSON TO LOOK AT, $11.35 an hour" in headline(reaping)
    said = {row["thing"]: row["what became of it"] for row in rows(reaping)}
    assert "kept up by theirs (2 x Standard_NC24ads_A100_v4, $7.35 an hour)" in said["endpoint e"]
    assert "its tag finetune.expires is 'soon'" in said["cluster c"]
    assert said["cluster fine"] == "untouched"


def test_an_endpoint_that_its_owner_extends_is_no_longer_unclear() -> None:
    assert unclear_of([KEPT_UP.model_copy(update={"expires": NOW + timedelta(hours=1)})], NOW) == ()
