"""What a job has used so far, in seconds by phase and in dollars, worked out from its steps' times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from tasks.azure.run_history import Step
from tasks.compute import Cluster


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
    now = ended or datetime.now(UTC)
    running = _covered([(step.started, step.ended or now) for step in steps if step.started is not None])
    begun = created or min((step.started for step in steps if step.started), default=now)
    waited = max((now - aware(begun)).total_seconds() - running, 0.0)
    provisioning = min(provisioning, waited)
    return Durations(queued=waited - provisioning, provisioning=provisioning, running=running)


def dollars(steps: Sequence[Step], cluster: Cluster) -> float:
    """Each step's time on its nodes so far, at the price of the cluster that trains."""
    now = datetime.now(UTC)
    return sum(step.seconds(now) * _nodes(step, cluster) for step in steps) / 3600 * cluster.price


def ended(steps: Sequence[Step]) -> datetime | None:
    """When the last step ended; None where none has."""
    return max((step.ended for step in steps if step.ended is not None), default=None)


def aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _nodes(step: Step, cluster: Cluster) -> int:
    """As many as the service says; until it does, only the training step has more than one."""
    if step.nodes:
        return step.nodes
    return cluster.nodes if "finetune" in step.name.casefold().replace("-", "") else 1


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
