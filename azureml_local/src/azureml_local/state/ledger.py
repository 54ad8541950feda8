"""The meter: what ran, for how long, at what price."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from azureml_local.state.clock import iso
from azureml_local.state.store import Store

_KIND = "ledger"


@dataclass(frozen=True)
class Row:
    """One stretch of a billed thing; `hourly_price` in dollars, times in seconds since the epoch."""

    id: str
    kind: Literal["node", "deployment"]
    name: str
    vm_size: str
    hourly_price: float
    owner: str
    started: float
    stopped: float | None

    @property
    def running(self) -> bool:
        return self.stopped is None

    def seconds(self, now: float) -> float:
        return max(0.0, (now if self.stopped is None else self.stopped) - self.started)

    def dollars(self, now: float) -> float:
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

    def start(
        self, kind: Literal["node", "deployment"], name: str, vm_size: str, hourly_price: float, owner: str
    ) -> str:
        """Begin to bill; `owner` is the job or endpoint that pays. Returns the row's id."""
        started = time.time()
        row_id = f"{started:017.6f}-{uuid4().hex[:8]}"  # sorts by time
        self._store.create(
            _KIND,
            row_id,
            {
                "kind": kind,
                "name": name,
                "vm_size": vm_size,
                "hourly_price": hourly_price,
                "owner": owner,
                "started": started,
                "stopped": None,
            },
        )
        return row_id

    def stop(self, row_id: str, at: float | None = None) -> None:
        """End the row, now or `at` a time in the past; a row that has ended stays as it is."""
        stopped = time.time() if at is None else at
        self._store.update(
            _KIND, row_id, lambda row: row if row["stopped"] is not None else {**row, "stopped": stopped}
        )

    def rows(self) -> list[Row]:
        """All rows, oldest first."""
        return [Row(id=name, **body) for name, body in self._store.list(_KIND)]

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
