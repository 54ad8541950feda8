"""The ledger: what ran, for how long, at what price."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from azureml_local.state.clock import iso
from azureml_local.state.documents import LEDGER, LedgerDocument
from azureml_local.state.store import Store

BilledKind = Literal["node", "deployment"]


@dataclass(frozen=True, kw_only=True)
class Billed:
    """What is billed: a node, or a deployment with all its instances.

    `hourly_price` in dollars; `owner` is the job or endpoint that pays.
    """

    kind: BilledKind
    name: str
    vm_size: str
    hourly_price: float
    owner: str


@dataclass(frozen=True, kw_only=True)
class Row(Billed):
    """One stretch of a billed thing; times in seconds since the epoch, `stopped` None while it runs."""

    id: str
    started: float
    stopped: float | None

    @property
    def running(self) -> bool:
        """Whether it is still billed."""
        return self.stopped is None

    def seconds(self, now: float) -> float:
        """How long it ran, up to `now` when it still runs."""
        return max(0.0, (now if self.stopped is None else self.stopped) - self.started)

    def dollars(self, now: float) -> float:
        """What it cost, up to `now` when it still runs."""
        return self.seconds(now) / 3600 * self.hourly_price

    def report(self, now: float) -> dict[str, Any]:
        """The row as JSON, billed up to `now` when it still runs."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "vmSize": self.vm_size,
            "hourlyPrice": self.hourly_price,
            "owner": self.owner,
            "started": iso(datetime.fromtimestamp(self.started, UTC)),
            "stopped": None if self.stopped is None else iso(datetime.fromtimestamp(self.stopped, UTC)),
            "running": self.running,
            "seconds": round(self.seconds(now), 3),
            "dollars": round(self.dollars(now), 6),
        }


class Ledger:
    """Rows of what is billed. It goes by the real clock, whatever the pace of the workspace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def start(self, item: Billed) -> str:
        """Begin to bill; returns the row's id."""
        started = time.time()
        row_id = f"{started:017.6f}-{uuid4().hex[:8]}"  # sorts by time
        document: LedgerDocument = {
            "kind": item.kind,
            "name": item.name,
            "vm_size": item.vm_size,
            "hourly_price": item.hourly_price,
            "owner": item.owner,
            "started": started,
            "stopped": None,
        }
        self._store.create(LEDGER, row_id, document)
        return row_id

    def stop(self, row_id: str, at: float | None = None) -> None:
        """End the row, now or `at` a time in the past; a row that has ended stays as it is."""
        stopped = time.time() if at is None else at
        self._store.update(
            LEDGER, row_id, lambda row: row if row["stopped"] is not None else {**row, "stopped": stopped}
        )

    def rows(self) -> list[Row]:
        """All rows, oldest first."""
        return [_row(name, body) for name, body in self._store.list(LEDGER)]

    def running(self, kind: BilledKind, name: str) -> list[Row]:
        """The rows of that thing which have not ended."""
        return [row for row in self.rows() if row.running and row.kind == kind and row.name == name]

    def report(self) -> dict[str, Any]:
        """Rows and totals as JSON."""
        now = time.time()
        rows = self.rows()
        return {
            "rows": [row.report(now) for row in rows],
            "running": sum(row.running for row in rows),
            "seconds": round(sum(row.seconds(now) for row in rows), 3),
            "dollars": round(sum(row.dollars(now) for row in rows), 6),
        }


def _row(row_id: str, body: LedgerDocument) -> Row:
    return Row(
        id=row_id,
        kind="node" if body["kind"] == "node" else "deployment",
        name=body["name"],
        vm_size=body["vm_size"],
        hourly_price=body["hourly_price"],
        owner=body["owner"],
        started=body["started"],
        stopped=body["stopped"],
    )
