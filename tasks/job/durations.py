"""Where a job's time went, in seconds by phase, worked out from its steps' times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from tasks.azure import service_clock
from tasks.azure.run_history import Step


class Durations(BaseModel):
    """Where a job's time went, in seconds."""

    model_config = ConfigDict(frozen=True)

    queued: float = 0.0
    provisioning: float = 0.0
    running: float = 0.0


def elapsed(
    created: datetime | None, steps: Sequence[Step], provisioning: float, ended: datetime | None
) -> Durations:
    """The time since the job was created, whoever watched: `provisioning` is what was seen of that phase.

    Steps that run side by side count once.
    """
    now = ended or service_clock.now()
    running = _covered([(step.started, step.ended or now) for step in steps if step.started is not None])
    begun = created or min((step.started for step in steps if step.started), default=now)
    waited = max((now - aware(begun)).total_seconds() - running, 0.0)
    provisioning = min(provisioning, waited)
    return Durations(queued=waited - provisioning, provisioning=provisioning, running=running)


def ended(steps: Sequence[Step]) -> datetime | None:
    """When the last step ended; None where none has."""
    return max((step.ended for step in steps if step.ended is not None), default=None)


def aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _covered(spans: Sequence[tuple[datetime, datetime]]) -> float:
    """Seconds within at least one of the spans."""
    seconds = 0.0
    until: datetime | None = None
    for begin, end in sorted(spans):
        begin = begin if until is None else max(begin, until)
        if end > begin:
            seconds += (end - begin).total_seconds()
            until = end
    return seconds
