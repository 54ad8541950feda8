"""The states of a job as data: which there are, which may follow which, which are final."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class JobState(StrEnum):
    """A job's status as the service names it."""

    NOT_STARTED = "NotStarted"
    QUEUED = "Queued"
    PREPARING = "Preparing"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows any more."""
        return not FOLLOWING[self]

    def may_become(self, other: JobState) -> bool:
        """Whether a job in this state may show `other` next."""
        return other in FOLLOWING[self]


_ENDS = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
_ANY_TIME = _ENDS | {JobState.CANCEL_REQUESTED}

# Forward only, but for a node that is taken away: its job is queued again. A pipeline is never queued, and a
# step whose outputs are reused does not run at all.
FOLLOWING: Mapping[JobState, frozenset[JobState]] = {
    JobState.NOT_STARTED: _ANY_TIME | {JobState.QUEUED, JobState.PREPARING},
    JobState.QUEUED: _ANY_TIME | {JobState.PREPARING},
    JobState.PREPARING: _ANY_TIME | {JobState.QUEUED, JobState.RUNNING},
    JobState.RUNNING: _ANY_TIME | {JobState.QUEUED, JobState.FINALIZING},
    JobState.FINALIZING: _ANY_TIME,
    JobState.CANCEL_REQUESTED: _ENDS,
    JobState.COMPLETED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
}
