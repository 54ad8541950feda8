"""The ledger: what ran, for how long, at what price.

A node is billed from its allocation, before it has booted, until it has been idle for as long as its cluster
says (documented: Azure bills a cluster's virtual machines while they are allocated). A row may therefore have
an end that is yet to come: until then it is billed, and somebody may take it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from azureml_local.state.clock import Clock, iso
from azureml_local.state.documents import BILLED_BY_END, LEDGER, LedgerDocument
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
    """One stretch of a billed thing, as it was at the moment `now`; times in seconds since the epoch.

    It is up from `ready` on. `stopped` is None while somebody uses it, and yet to come while it is idle;
    `uses` is how often somebody has taken it.
    """

    id: str
    started: float
    ready: float
    stopped: float | None
    uses: int
    now: float

    @property
    def running(self) -> bool:
        """Whether it is still billed."""
        return self.stopped is None or self.stopped > self.now

    @property
    def preparing(self) -> bool:
        """Whether it is billed and not up yet."""
        return self.running and self.ready > self.now

    @property
    def idle(self) -> bool:
        """Whether it is billed and nobody uses it."""
        return self.running and self.stopped is not None

    @property
    def changed(self) -> float:
        """When it last became another: allocated, up, idle or gone."""
        moments = (self.started, self.ready, self.stopped or self.started)
        return max(moment for moment in moments if moment <= max(self.now, self.started))

    @property
    def seconds(self) -> float:
        """How long it has been billed."""
        end = self.now if self.stopped is None else min(self.stopped, self.now)
        return max(0.0, end - self.started)

    @property
    def dollars(self) -> float:
        """What it has cost."""
        return self.seconds / 3600 * self.hourly_price

    def report(self) -> dict[str, Any]:
        """The row as JSON."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "vmSize": self.vm_size,
            "hourlyPrice": self.hourly_price,
            "owner": self.owner,
            "started": iso(datetime.fromtimestamp(self.started, UTC)),
            "stopped": None if self.running else iso(datetime.fromtimestamp(self.stopped or 0.0, UTC)),
            "running": self.running and not self.idle,
            "idle": self.idle,
            "uses": self.uses,
            "seconds": round(self.seconds, 3),
            "dollars": round(self.dollars, 6),
        }


class Ledger:
    """Rows of what is billed, by the workspace's clock."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def start(self, item: Billed, *, boot: float = 0.0, uses: int = 1) -> str:
        """Begin to bill what is up after `boot` seconds, for somebody's use or none; returns the row's id."""
        started = self._clock.timestamp()
        row_id = f"{started:017.6f}-{uuid4().hex[:8]}"  # sorts by time
        document: LedgerDocument = {
            "kind": item.kind,
            "name": item.name,
            "vm_size": item.vm_size,
            "hourly_price": item.hourly_price,
            "owner": item.owner,
            "started": started,
            "ready": started + boot,
            "stopped": None,
            "uses": uses,
        }
        self._store.create(LEDGER, row_id, document)
        return row_id

    def stop(self, row_id: str, *, after: float = 0.0) -> None:
        """End the row in so many seconds, unless it is taken again; one that has ended stays as it is."""
        now = self._clock.timestamp()

        def stopped(row: LedgerDocument) -> LedgerDocument:
            over = row["stopped"] is not None and row["stopped"] <= now
            return row if over else {**row, "stopped": now + after}

        self._store.update(LEDGER, row_id, stopped)

    def clear(self) -> None:
        """Forget what is no longer billed."""
        for row in self.rows():
            if not row.running:
                self._store.delete(LEDGER, row.id)

    def take(self, row_id: str) -> None:
        """Let somebody use an idle row again; whose it was stays its owner."""

        def taken(row: LedgerDocument) -> LedgerDocument:
            return {**row, "stopped": None, "uses": row.get("uses", 1) + 1}

        self._store.update(LEDGER, row_id, taken)

    def rows(self) -> list[Row]:
        """All rows, oldest first."""
        now = self._clock.timestamp()
        return [_row(name, body, now) for name, body in self._store.list(LEDGER)]

    def row(self, row_id: str) -> Row | None:
        """The row of that id."""
        body = self._store.get(LEDGER, row_id)
        return None if body is None else _row(row_id, body, self._clock.timestamp())

    def running(self, kind: BilledKind, name: str) -> list[Row]:
        """The rows of that thing which are billed now, oldest first; names ignore case, as of computes."""
        found = (row for row in self.latest(kind, name) if row.running)
        return sorted(found, key=lambda row: row.id)

    def latest(self, kind: BilledKind, name: str) -> list[Row]:
        """The rows of that thing which are billed now, and of the others the one that has ended last."""
        now, found = self._clock.timestamp(), []
        for (_, key), body in self._store.newest(BILLED_BY_END, name):
            row = _row(key, body, now)
            if row.kind == kind:
                found.append(row)
                if not row.running:  # those that follow have ended before
                    break
        return found

    def report(self) -> dict[str, Any]:
        """Rows and totals as JSON."""
        rows = self.rows()
        return {
            "rows": [row.report() for row in rows],
            "running": sum(row.running and not row.idle for row in rows),
            "idle": sum(row.idle for row in rows),
            "seconds": round(sum(row.seconds for row in rows), 3),
            "dollars": round(sum(row.dollars for row in rows), 6),
        }


def _row(row_id: str, body: LedgerDocument, now: float) -> Row:
    return Row(
        id=row_id,
        kind="node" if body["kind"] == "node" else "deployment",
        name=body["name"],
        vm_size=body["vm_size"],
        hourly_price=body["hourly_price"],
        owner=body["owner"],
        started=body["started"],
        ready=body.get("ready", body["started"]),
        stopped=body["stopped"],
        uses=body.get("uses", 1),
        now=now,
    )
