"""What a run has cost, from the service's own times: all its jobs, and every deployment that it held."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from tasks.azure import job_states, listing, nodes, run_history, service_clock
from tasks.azure.clients import Session
from tasks.azure.listing import Listed
from tasks.azure.run_history import Step
from tasks.core.lease import is_held_by, price
from tasks.job.meter import Bill, Meter


class Served(BaseModel):
    """A deployment of a run: its price in dollars an hour, and how long it was billed."""

    model_config = ConfigDict(frozen=True)

    name: str
    hourly: float
    created: datetime
    ended: datetime | None = None

    def dollars(self, now: datetime) -> float:
        """Up to its end, or to `now` while it is up."""
        return max(((self.ended or now) - self.created).total_seconds(), 0.0) / 3600 * self.hourly


def training(
    session: Session, run: str, attempts: Iterable[Listed], meter: Meter, released: datetime | None
) -> Bill:
    """What those of the attempts at a job have cost that the run has submitted.

    `released` is when the run has deleted the cluster, None where its nodes stay for their idle time. A job
    that another run holds is that run's to pay.
    """
    held = [job for job in attempts if is_held_by(job.tags, run)]
    if not held:
        return Bill(at_least=False)
    steps: list[Step] = []
    for job in held:
        meter.created(job.created)
        steps += run_history.steps(session, job.name)
    is_over = all(job.state in job_states.OVER for job in held)
    if released is None:
        meter.look(nodes.look(session, meter.cluster.name), steps)
    now = service_clock.now()
    return meter.bill(steps, now, until=released if is_over else now)


def deployments(session: Session, endpoint: str, run: str) -> tuple[Served, ...]:
    """The deployments behind the endpoint that the run holds; what was reused is another run's to pay."""
    return tuple(
        Served(name=found.name, hourly=price(found.tags) or 0.0, created=found.created)
        for found in listing.deployments(session, endpoint)
        if found.created is not None and is_held_by(found.tags, run)
    )
