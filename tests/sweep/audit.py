"""What a case left behind: the jobs it paid for, what still bills, and whether the ledger says the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from tasks.azure import listing
from tasks.azure.listing import Listed
from tasks.core.lease import RUN
from tests.support.own_workspace import Workspace

_LATER = timedelta(days=1)  # by then every lease of a swept run has ended
_NEWEST = 12  # jobs; a case submits one, and an attempt more for each that failed


@dataclass(frozen=True)
class Mark:
    """What the workspace had before a case: names of jobs, ids of the ledger's rows."""

    jobs: frozenset[str]
    rows: frozenset[str]


@dataclass(frozen=True)
class Audit:
    """`left` is what `reap` had to delete, `leaked` what was there even after it.

    `jobs` have completed; `nodes` is how often one was lent for training, `running` what is billed still.
    """

    jobs: tuple[str, ...]
    nodes: int
    left: tuple[str, ...]
    leaked: tuple[str, ...]
    running: tuple[str, ...]
    touched: tuple[str, ...] = ()  # other people's things that are not as they were
    cancelled: int = 0  # jobs that a person has ended
    dollars: float = 0.0  # by the ledger, for all of it

    @property
    def paid_twice(self) -> bool:
        """Whether more than one job, or one use of a node, was paid for; a cancelled job had one too."""
        return len(self.jobs) > 1 or self.nodes > 1 + self.cancelled

    @property
    def disagrees(self) -> bool:
        """Whether the ledger says otherwise than the workspace: a job without a node, a meter that runs."""
        return len(self.jobs) > self.nodes or bool(self.running)


def mark(workspace: Workspace) -> Mark:
    """What there is now."""
    return Mark(
        jobs=frozenset(job.name for job in _newest_jobs()),
        rows=frozenset(row["id"] for row in workspace.admin("ledger")["rows"]),
    )


def audit(workspace: Workspace, before: Mark) -> Audit:
    """Reap as if all leases had ended, then look at what there is."""
    from flows.reap import due_of
    from tasks.leased import find_leased
    from tasks.reap import end

    session, later = _session(), datetime.now(UTC) + _LATER
    due = due_of(find_leased.fn(session).leased, later)
    for item in due:
        end.fn(session, item, later)
    jobs = [job for job in _newest_jobs() if job.name not in before.jobs]
    completed = [job.name for job in jobs if job.state == "Completed"]
    ledger = workspace.admin("ledger")["rows"]
    new = [row for row in ledger if row["id"] not in before.rows]
    nodes = sum(row["uses"] for row in new if row["kind"] == "node")
    return Audit(
        jobs=tuple(completed),
        nodes=nodes,
        left=tuple(item.label for item in due),
        leaked=(*workspace.made(), *live(before)),
        touched=workspace.touched(),
        running=tuple(f"{row['kind']} of {row['owner']}" for row in ledger if row["running"]),
        dollars=sum(row["dollars"] for row in new),
        cancelled=sum(job.state in ("Canceled", "CancelRequested") for job in jobs),
    )


def billed(workspace: Workspace, before: Mark) -> tuple[str, ...]:
    """What costs at this moment and did not exist before."""
    rows = workspace.admin("ledger")["rows"]
    return tuple(
        f"{row['kind']} of {row['owner']}" for row in rows if row["running"] and row["id"] not in before.rows
    )


def training(before: Mark) -> list[str]:
    """The new jobs that run at this moment."""
    return [job.name for job in _newest_jobs() if job.name not in before.jobs and job.state == "Running"]


def live(before: Mark) -> list[str]:
    """The new jobs that have not ended."""
    return [job.name for job in _newest_jobs() if job.name not in before.jobs and job.is_live]


def reap_now() -> None:
    """What the hourly reap does, in the midst of other runs."""
    from flows.reap import due_of
    from tasks.leased import find_leased
    from tasks.reap import end

    session = _session()
    for item in due_of(find_leased.fn(session).leased, datetime.now(UTC)):
        end.fn(session, item)


def _newest_jobs() -> list[Listed]:
    """Enough of them to see every one that a case has submitted; without other people's."""
    return list(islice(listing.jobs(_session(), tag=RUN), _NEWEST))


@lru_cache(maxsize=1)
def _session() -> Any:
    from tasks.sign_in import Workspace as Named
    from tasks.sign_in import sign_in

    return sign_in.fn(Named())
