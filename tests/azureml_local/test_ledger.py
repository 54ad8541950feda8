"""What the ledger says of one thing: as if all rows were looked at, whatever it reads of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azureml_local.state.clock import Clock
from azureml_local.state.documents import LEDGER, LedgerDocument
from azureml_local.state.ledger import Ledger, Row
from azureml_local.state.store import Store

NOW = 100.0
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["node", "deployment"]),
        st.sampled_from(["cluster", "Cluster", "other"]),
        st.one_of(st.none(), st.floats(0, 200).map(lambda moment: round(moment, 4))),
    ),
    max_size=12,
)


class Stopped(Clock):
    """A clock that stands still."""

    def timestamp(self) -> float:
        return NOW


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("ledger") / "workspace.sqlite")
    yield made
    made.close()


def billed(kind: str, name: str, stopped: float | None) -> LedgerDocument:
    return {
        "kind": kind,
        "name": name,
        "vm_size": "s",
        "hourly_price": 1.0,
        "owner": "o",
        "started": 0.0,
        "ready": 0.0,
        "stopped": stopped,
        "uses": 1,
    }


@given(ROWS)
def test_of_one_thing_it_says_what_a_look_at_all_rows_would(
    store: Store, rows: list[tuple[str, str, float | None]]
) -> None:
    store.clear()
    for number, row in enumerate(rows):
        store.put(LEDGER, f"{number:02d}", billed(*row))
    ledger = Ledger(store, Stopped())
    mine = [row for row in ledger.rows() if row.kind == "node" and row.name.casefold() == "cluster"]
    up = [row for row in mine if row.running]
    assert ledger.running("node", "CLUSTER") == up
    latest = ledger.latest("node", "cluster")
    assert sorted((row for row in latest if row.running), key=by_id) == up
    assert max((row.changed for row in latest), default=None) == max(
        (row.changed for row in mine), default=None
    )


def by_id(row: Row) -> str:
    return row.id


def test_of_thousands_of_past_nodes_it_reads_a_few(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.clear()
    with store.transaction():
        for number in range(2000):
            store.put(LEDGER, f"{number:04d}", billed("node", "cluster", number / 100))
    read: list[Any] = []
    rows = store._rows

    def counted(query: str, values: tuple[str | int, ...]) -> Sequence[Any]:
        found = rows(query, values)
        read.extend(found)
        return found

    monkeypatch.setattr(store, "_rows", counted)
    ledger = Ledger(store, Stopped())
    assert ledger.running("node", "cluster") == []
    assert [row.id for row in ledger.latest("node", "cluster")] == ["1999"]
    assert len(read) < 20
