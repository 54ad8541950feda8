"""What is due to be reaped: what has outlived its lease, and nothing that goes with something else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.reap import due_of
from tasks.leased import Leased

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def leased(kind: Any, name: str, hours: float, **fields: Any) -> Leased:
    return Leased(
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
        ([ENDPOINT.model_copy(update={"foreign": ("theirs",)}), DEPLOYMENT], ["deployment e/d"]),
        ([ENDPOINT, leased("deployment", "d", -1, parent="other")], ["endpoint e", "deployment other/d"]),
    ],
)
def test_what_is_past_its_lease_is_due_once(things: list[Leased], due: list[str]) -> None:
    assert [item.label for item in due_of(things, NOW)] == due


@pytest.mark.parametrize(("hours", "dollars"), [(1, 0), (0, 0), (-3, 6)])
def test_what_is_overdue_has_cost_since_the_lease_ended(hours: float, dollars: float) -> None:
    assert leased("endpoint", "e", hours).overdue(NOW) == dollars
