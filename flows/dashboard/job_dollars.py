"""The dollars of jobs, each counted once: runs that shared one may have reported it both, or neither."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from flows.dashboard.run import RunRecord

_NEVER = datetime.max.replace(tzinfo=UTC)
_CENTS = 1e-6  # reports have six digits


class _Part(NamedTuple):
    """What one run says of a job."""

    run: RunRecord
    holder: str
    dollars: float
    counted: float


def once(runs: Iterable[RunRecord], groups: Iterable[str] = ()) -> list[RunRecord]:
    """The runs, of which together none counts a job's dollars again, and one those that nobody has.

    The run that ended last keeps what it counts. What is left over is that run's as well, where the run that
    holds the job is among these and has not reported it, as it lives or was killed: one that is not here may
    have reported it elsewhere. `groups` are sweeps of which all runs are here: a sweep holds their jobs.
    """
    found = list(runs)
    here = {*groups, *(run.id for run in found)}
    changes: dict[str, float] = defaultdict(float)
    for parts in _by_job(found).values():
        for run, change in _changes(parts, here):
            changes[run.id] += change
    return [_changed(run, changes) for run in found]


def _by_job(runs: Iterable[RunRecord]) -> Mapping[tuple[str, str], list[_Part]]:
    parts: dict[tuple[str, str], list[_Part]] = defaultdict(list)
    for run in runs:
        for job in run.jobs:
            parts[job.workspace, job.name].append(_Part(run, job.run, job.dollars, job.counted))
    return parts


def _changes(parts: list[_Part], here: set[str]) -> Iterable[tuple[RunRecord, float]]:
    """How much more or less each run is to count of one job."""
    rest = max(part.dollars for part in parts)
    latest, *_ = ordered = sorted(parts, key=lambda part: part.run.ended or _NEVER, reverse=True)
    for part in ordered:
        counted = min(part.counted, rest)
        rest -= counted
        if part.counted - counted > _CENTS:
            yield part.run, counted - part.counted
    if rest > _CENTS and latest.holder in here:
        yield latest.run, rest


def _changed(run: RunRecord, changes: Mapping[str, float]) -> RunRecord:
    change = changes.get(run.id)
    if not change:
        return run
    training, cost = ((before or 0.0) + change for before in (run.training_usd, run.cost_usd))
    return run.model_copy(update={"training_usd": round(training, 6), "cost_usd": round(cost, 6)})
