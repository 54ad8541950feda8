"""Everything in a workspace that carries a lease of this project, whatever else there is beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from tasks.azure import job_states, listing, sizes
from tasks.azure.clients import Session
from tasks.azure.errors import explain, is_unauthorised
from tasks.azure.listing import Listed
from tasks.core.lease import HOURLY, RUN, Lease, UnreadableLease, price
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage

T = TypeVar("T")


class Kind(StrEnum):
    """What carries a lease."""

    ENDPOINT = "endpoint"
    DEPLOYMENT = "deployment"
    CLUSTER = "cluster"
    JOB = "job"


class Foreign(BaseModel):
    """A deployment without our tags behind our endpoint; `hourly` None where its price is not known."""

    model_config = ConfigDict(frozen=True)

    name: str
    size: str
    count: int
    hourly: float | None

    def __str__(self) -> str:
        dollars = "at a price that is not known" if self.hourly is None else f"${self.hourly:.2f} an hour"
        return f"{self.name} ({self.count} x {self.size}, {dollars})"


class Leased(BaseModel):
    """A billed thing that carries a lease; `parent` is a deployment's endpoint, `hourly` in US dollars.

    `problem` is what of its tags cannot be read. `expires` is None where they state no end: such a thing is
    listed, and left to a person.
    """

    model_config = ConfigDict(frozen=True)

    workspace: str
    kind: Kind
    name: str
    parent: str | None = None
    state: str
    created: datetime | None = None
    owner: str = ""
    run: str = ""
    expires: datetime | None = None
    hourly: float = 0.0
    kept: bool = False  # on purpose, past the end of its run
    foreign: tuple[Foreign, ...] = ()
    problem: str = ""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.parent}/{self.name}" if self.parent else f"{self.kind} {self.name}"

    @property
    def place(self) -> str:
        """The label, and where it is."""
        return f"{self.label} in {self.workspace}"

    @property
    def price(self) -> str:
        """What it costs, in words: an unreadable price is not none."""
        if self.problem and not self.hourly:
            return "at a price that is not known"
        return f"${self.hourly:.2f} an hour"

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires

    def overdue(self, now: datetime) -> float:
        """Dollars that it has cost since its lease ended."""
        if self.expires is None:
            return 0.0
        return max((now - self.expires).total_seconds(), 0.0) / 3600 * self.hourly


class Leases(BaseModel):
    """What carries a lease, and what could not be looked at, with the reason."""

    model_config = ConfigDict(frozen=True)

    leased: tuple[Leased, ...] = ()
    unseen: dict[str, str] = {}


@stage(Stage.LIST_LEASES)
def find_leased(session: Session) -> Leases:
    """Everything in the workspace that carries our tags and is or may be billed; nothing else.

    Each kind is looked at by itself: one that cannot be listed leaves the others as they are.
    """
    seen = _Seen()
    seen.leases("jobs", lambda: live_jobs(session))
    seen.leases("clusters", lambda: clusters(session))
    for above in seen.things("endpoints", lambda: listing.endpoints(session)):
        seen.leases(f"endpoint {above.name}", partial(endpoint, session, above))
    return Leases(leased=tuple(seen.leased), unseen=seen.unseen)


def live_jobs(session: Session) -> Iterator[Leased]:
    """Our jobs that have not ended."""
    for found in listing.jobs(session, tag=RUN):
        if found.state not in job_states.FINAL and (leased := read(session, Kind.JOB, found)):
            yield leased


def clusters(session: Session) -> Iterator[Leased]:
    for found in listing.clusters(session):
        if leased := read(session, Kind.CLUSTER, found):
            yield leased


def endpoint(session: Session, above: Listed) -> Iterator[Leased]:
    """An endpoint with our tags, and the deployments with our tags behind whatever endpoint."""
    deployments = list(listing.deployments(session, above.name))
    behind = [leased for each in deployments if (leased := read(session, Kind.DEPLOYMENT, each, above.name))]
    leased = read(session, Kind.ENDPOINT, above)
    if leased is None:
        yield from behind
        return
    ours = {each.name for each in behind}
    foreign = tuple(_foreign(session, each) for each in deployments if each.name not in ours)
    # The prices stand on the deployments, and it is for them that an endpoint costs.
    hourly = sum(each.hourly for each in behind) + sum(each.hourly or 0.0 for each in foreign)
    expires = _last(leased, behind)
    yield leased.model_copy(update={"hourly": hourly, "foreign": foreign, "expires": expires})
    for each in behind:
        yield _covered(each, leased.problem, expires)


def read(session: Session, kind: Kind, found: Listed, parent: str | None = None) -> Leased | None:
    """The thing with its lease; None for what carries no tag of ours."""
    seen = Leased(
        workspace=session.workspace,
        kind=kind,
        name=found.name,
        parent=parent,
        state=found.state,
        created=found.created,
    )
    try:
        lease = Lease.parse(found.tags)
    except UnreadableLease as error:
        return seen.model_copy(update={"problem": str(error), "run": found.tags.get(RUN, "")})
    if lease is None:
        return None
    stated = found.tags.get(HOURLY)
    unreadable = stated is not None and price(found.tags) is None
    return seen.model_copy(
        update={
            **lease.model_dump(),
            "problem": f"its price is {stated!r}, which is no number" if unreadable else "",
        }
    )


class _Seen:
    """What was seen so far; a list whose connection is lost has been seen as far as it went."""

    def __init__(self) -> None:
        self.leased: list[Leased] = []
        self.unseen: dict[str, str] = {}

    def leases(self, what: str, look: Callable[[], Iterable[Leased]]) -> None:
        self.leased += self.things(what, look)

    def things(self, what: str, look: Callable[[], Iterable[T]]) -> list[T]:
        found: list[T] = []
        try:
            for each in look():
                found.append(each)  # noqa: PERF402 - what came before an error counts
        except Exception as error:
            if is_unauthorised(error):
                raise  # of all kinds, and mended by signing in again
            self.unseen[what] = str(explain(error))
            logger().error("%s cannot be looked at: %s", what.capitalize(), self.unseen[what])
        return found


def _last(above: Leased, behind: list[Leased]) -> datetime | None:
    """When an endpoint's lease ends: unless it is kept, it lives as long as what a run has deployed."""
    if above.kept or above.expires is None:
        return above.expires
    return max([above.expires, *(each.expires for each in behind if each.expires is not None)])


def _covered(deployment: Leased, problem: str, expires: datetime | None) -> Leased:
    """A deployment with its endpoint's lease, which is what is prolonged."""
    if expires is None:
        change = {"expires": None, "problem": deployment.problem or f"of its endpoint, {problem}"}
        return deployment.model_copy(update=change)
    if deployment.expires is None:
        return deployment
    return deployment.model_copy(update={"expires": max(deployment.expires, expires)})


def _foreign(session: Session, found: Listed) -> Foreign:
    size, count = found.size or "machines of an unknown size", found.instances
    try:
        hourly = sizes.find(session, size).hourly() * count
    except Exception as error:  # noqa: BLE001 - it is named all the same, and said to have no known price
        logger().warning("The price of deployment %s is not known: %s", found.name, explain(error))
        hourly = None
    return Foreign(name=found.name, size=size, count=count, hourly=hourly)
