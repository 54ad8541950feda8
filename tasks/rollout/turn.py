"""The turn at an endpoint: which run rolls out a deployment there, and what to put right where it is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import deploy
from tasks import endpoint as endpoints
from tasks.azure import listing, operation
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import PREFIX, Lease
from tasks.core.stage import logger, report
from tasks.endpoint import Change

_RUN, _UNTIL, _OLD, _NEW, _PHASE = (
    f"{PREFIX}rollout{name}" for name in ("", "-until", "-old", "-new", "-phase")
)
_PAUSE = 15.0  # seconds between two looks at an endpoint where another run has the turn


class Phase(StrEnum):
    """How far a roll-out is; it decides which of the two deployments stays where the run is lost."""

    ROLLING = "rolling"  # the old one
    PROMOTED = "promoted"  # the new one


class Turn(BaseModel):
    """A run's turn at an endpoint until that moment; `old` is None where the new deployment is the first."""

    model_config = ConfigDict(frozen=True)

    run: str
    until: datetime
    new: str
    old: str | None = None
    phase: Phase = Phase.ROLLING

    @classmethod
    def read(cls, tags: Mapping[str, str] | None) -> Turn | None:
        """The turn that an endpoint's tags state; None where there is none, or nobody can make it out."""
        found = tags or {}
        try:
            return cls(
                run=found[_RUN],
                until=datetime.fromisoformat(found[_UNTIL]),
                new=found[_NEW],
                old=found.get(_OLD) or None,
                phase=Phase(found.get(_PHASE, Phase.ROLLING)),
            )
        except (KeyError, ValueError):
            return None

    @property
    def stays(self) -> str | None:
        """The deployment that gets all traffic where the run is lost."""
        return self.new if self.phase is Phase.PROMOTED else self.old

    @property
    def goes(self) -> str | None:
        """The deployment that is deleted then; None where the endpoint served what was wanted already."""
        if self.new == self.old:
            return None
        return self.old if self.phase is Phase.PROMOTED else self.new

    def is_over(self, now: datetime | None = None) -> bool:
        return (now or datetime.now(UTC)) >= self.until

    def renewed(self, minutes: float, phase: Phase | None = None) -> Turn:
        """The same for so many minutes from now."""
        until = datetime.now(UTC) + timedelta(minutes=minutes)
        return self.model_copy(update={"until": until, "phase": phase or self.phase})

    def on(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The tags with this turn in them."""
        stated = {
            _RUN: self.run,
            _UNTIL: self.until.isoformat(timespec="seconds"),
            _NEW: self.new,
            _PHASE: self.phase.value,
        }
        return {**without(tags), **stated, **({_OLD: self.old} if self.old else {})}


def without(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags of an endpoint at which nobody has the turn."""
    return {name: value for name, value in tags.items() if not name.startswith(_RUN)}


def take(session: Session, name: str, run: str, turn_at: Callable[[Any], Turn]) -> Turn | None:
    """Wait until no other run has the turn at the endpoint, and take it; None when the endpoint is gone.

    `turn_at` makes the turn from the endpoint as it is then. What a lost run has left is put right first. The
    service knows no condition for a write: two that take it at the same moment find out by `hold`, before
    either changes any traffic.
    """
    while (found := endpoints.find(session, name)) is not None:
        held = Turn.read(found.tags)
        if held is None:
            if (taken := _write(session, name, run, turn_at)) is not None:
                return taken
        elif held.run == run or held.is_over():
            settle(session, name, held)
        else:
            report(f"flow run {held.run} has the turn at {name} until {held.until:%H:%M}")
            operation.wait(_PAUSE)
    return None


def hold(session: Session, name: str, turn: Turn, traffic: Mapping[str, int] | None = None) -> None:
    """Renew the turn, and with it set the traffic; raises Failure where another run has it by now."""

    def held(found: Any) -> Change:
        now = Turn.read(found.tags)
        if now is None or now.run != turn.run:
            raise Failure(
                f"Flow run {now.run if now else 'unknown'} has taken the turn at the endpoint {name!r}.",
                "Run again: the model is registered.",
                cause=Cause.IN_USE,
            )
        return Change.of(found, turn.on(found.tags), dict(traffic) if traffic is not None else None)

    endpoints.change(session, name, held)


def settle(session: Session, name: str, turn: Turn) -> None:
    """End the turn: all traffic goes to the deployment that stays, and the other one is deleted.

    In this order, so that the endpoint is never without what answers; called again it goes on. An endpoint on
    which the first deployment was on its way is deleted, unless somebody keeps it.
    """
    found = endpoints.find(session, name)
    if found is None or (now := Turn.read(found.tags)) is None or now.run != turn.run:
        return
    stays, goes, lease = now.stays, now.goes, Lease.read(found.tags)
    if stays is None and lease is not None and not lease.is_kept():
        endpoints.remove(session, name, lease.run)
        return
    traffic = {stays: 100} if stays is not None else {}
    if found.traffic != traffic:
        logger().info("All traffic of %s goes to %s", name, stays or "nobody: there was no deployment before")
    endpoints.change(session, name, lambda each: Change(tags=each.tags or {}, traffic=traffic))
    if goes is not None and deploy.find(session, name, goes) is not None:
        deploy.remove(session, name, goes)
        logger().info("Deployment %s/%s is deleted", name, goes)
    endpoints.change(session, name, lambda each: Change.of(each, without(each.tags or {})))


def lost(session: Session, run: str | None = None) -> Iterator[tuple[str, Turn]]:
    """The endpoints at which a turn is over that has not ended, or which that flow run has."""
    for each in listing.endpoints(session):
        turn = Turn.read(each.tags)
        if turn is not None and (turn.run == run if run is not None else turn.is_over()):
            yield each.name, turn


def _write(session: Session, name: str, run: str, turn_at: Callable[[Any], Turn]) -> Turn | None:
    """Take the turn if it is free; None where another run has it then."""

    def taken(found: Any) -> Change:
        return Change.of(found, None if Turn.read(found.tags) else turn_at(found).on(found.tags or {}))

    found = endpoints.change(session, name, taken)
    held = Turn.read(found.tags) if found is not None else None
    return held if held is not None and held.run == run else None
