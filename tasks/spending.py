"""What a run has cost, from the service's own times: all its jobs, and every deployment that it held."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from tasks.azure import job_states, listing, nodes, run_history, service_clock
from tasks.azure.clients import Session
from tasks.azure.listing import Listed
from tasks.azure.run_history import Step
from tasks.compute import Cluster
from tasks.core.lease import RUN, is_held_by, price
from tasks.job.meter import Bill, Meter
from tasks.job.pipeline import CLUSTER
from tasks.removal import Removal


class Served(BaseModel):
    """A deployment of a `run`: its price in dollars an hour, and how long it was billed.

    It was `seen` last at that time, by the service's clock; `is_least` where it may have been up for longer
    than until it `ended`.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    name: str
    hourly: float
    created: datetime
    seen: datetime
    ended: datetime | None = None
    is_least: bool = False

    def bill(self, now: datetime) -> Bill:
        """Up to its end, or to `now` while it is up."""
        seconds = max(((self.ended or now) - self.created).total_seconds(), 0.0)
        return Bill(dollars=seconds / 3600 * self.hourly, at_least=self.is_least)

    def over(self, removal: Removal | None = None) -> Served:
        """The same, gone: as the removal says, and without one since some time after it was last seen."""
        removal = removal or Removal.between(self.seen, service_clock.now())
        return self.model_copy(update={"ended": removal.ended, "is_least": removal.is_least})


# By run and endpoint: deployments that are gone by now, or may be without the run's doing; of this process.
_known: dict[tuple[str, str], list[Served]] = {}


def training(session: Session, jobs: Sequence[Listed], meter: Meter, released: datetime | None) -> Bill:
    """What those jobs have cost, all of which a run holds; another run's are that run's to pay.

    `released` is when the run has deleted the cluster, None where it has not: nodes stay for their idle time
    then, while there is a cluster.
    """
    if not jobs:
        return Bill(at_least=False)
    steps: list[Step] = []
    for job in jobs:
        meter.created(job.created)
        steps += run_history.steps(session, job.name)
    is_over = all(job.state in job_states.OVER for job in jobs)
    if released is None:
        found = listing.cluster(session, meter.cluster.name)
        meter.look(nodes.of(found), steps)
        if found is None:  # whoever has deleted it: no node of it is idle any more
            released = service_clock.now()
    now = service_clock.now()
    return meter.bill(steps, now, until=released if is_over else now)


def of_run(session: Session, run: str) -> dict[str, Bill]:
    """The jobs that a run holds, the newest first, and what each has cost, as its own tags tell.

    For a run whose process is gone, and with it what was seen of the cluster: the bill is the least.
    """
    bills = {}
    for job in listing.jobs(session, tag=RUN):
        if is_held_by(job.tags, run):
            meter = Meter(_cluster(job, run_history.steps(session, job.name)))
            bills[job.name] = training(session, [job], meter, None)
    return bills


def shares(session: Session, jobs: Sequence[Listed], cluster: Cluster, dollars: float) -> dict[str, float]:
    """The part that each of the jobs has in what they have cost together, idle time between them included."""
    if len(jobs) == 1:
        return {jobs[0].name: dollars}
    each = {job.name: training(session, [job], Meter(cluster), None).dollars for job in jobs}
    together = sum(each.values())
    return {name: dollars * part / together if together else 0.0 for name, part in each.items()}


def _cluster(job: Listed, steps: Iterable[Step]) -> Cluster:
    """The cluster that trains, as far as the job says: its lease has the price of all nodes together."""
    count = max((step.nodes or 1 for step in steps), default=1)
    name, hourly = job.tags.get(CLUSTER, ""), price(job.tags) or 0.0
    return Cluster(name=name, size="", gpus=0, nodes=count, price=hourly / count, created=True)


def note(endpoint: str, served: Served) -> None:
    """Note a deployment of the run which is ready: others may delete it, and it has cost until then.

    One of that name before it has gone without the run's doing, when is not known.
    """
    earlier = (
        each.model_copy(update={"ended": served.created}) if _is_up(each, served.name) else each
        for each in _known.get((served.run, endpoint), ())
    )
    _known[served.run, endpoint] = [*earlier, served]


@contextmanager
def replaced(session: Session, endpoint: str, name: str, run: str) -> Iterator[Callable[[Removal], None]]:
    """Note what a deployment has cost that the run holds; the block deletes it, and passes its removal on."""
    before = [each for each in held(session, endpoint, run) if each.name == name]
    removals: list[Removal] = []
    yield removals.append
    others = [each for each in _known.get((run, endpoint), ()) if not _is_up(each, name)]
    _known[run, endpoint] = [*others, *(each.over(*removals) for each in before)]


def deployments(session: Session, endpoint: str, run: str) -> tuple[Served, ...]:
    """The deployments behind the endpoint that the run holds, and those that it had before them.

    What was reused is another run's to pay.
    """
    there = tuple(held(session, endpoint, run))
    names = {each.name for each in there}
    noted = [
        each for each in _known.get((run, endpoint), ()) if not any(_is_up(each, name) for name in names)
    ]
    _known[run, endpoint] = [each if each.ended is not None else each.over() for each in noted]
    return (*_known[run, endpoint], *there)


def held(session: Session, endpoint: str, run: str) -> Iterator[Served]:
    """The deployments behind the endpoint that the run holds, as they are now."""
    return (each for each in behind(session, endpoint) if each.run == run)


def behind(session: Session, endpoint: str) -> Iterator[Served]:
    """The deployments behind the endpoint that runs hold, whichever."""
    for found in listing.deployments(session, endpoint):
        if found.created is not None and (run := found.tags.get(RUN)):
            yield Served(
                run=run,
                name=found.name,
                hourly=price(found.tags) or 0.0,
                created=found.created,
                seen=service_clock.now(),
            )


def _is_up(served: Served, name: str) -> bool:
    """Whether it is the deployment of that name, as far as it is known still up."""
    return served.name == name and served.ended is None
