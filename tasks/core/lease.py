"""The lease: tags that say whose a billed thing is, until when it may live, and what it costs."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict

# Everything this project bills carries these tags from the request that creates it.
PREFIX = "finetune."
OWNER, RUN, EXPIRES, HOURLY, KEPT = (
    PREFIX + name for name in ("owner", "run", "expires", "hourly-usd", "kept")
)
FOREVER = datetime.max.replace(microsecond=0, tzinfo=UTC)
LONGEST = 24 * 365.0  # hours; whoever wants a thing for longer wants it for ever
_NEVER = "never"
_WORTHWHILE = 0.9  # of a lease: one that has as much left is not written again


class UnreadableLease(ValueError):
    """Tags of ours that state no lease: somebody has edited or lost some of them."""


class Lease(BaseModel):
    """Who owns a thing, which flow run holds it, when it expires, and its price in dollars an hour."""

    model_config = ConfigDict(frozen=True)

    owner: str
    run: str
    expires: datetime
    hourly: float = 0.0
    kept: bool = False  # on purpose, past the end of the run

    @classmethod
    def of_run(cls, run: str, hours: float) -> Lease:
        """A lease for this run from now on, for a year at the most."""
        return cls(owner=_owner(), run=run, expires=_now() + timedelta(hours=min(hours, LONGEST)))

    @classmethod
    def read(cls, tags: Mapping[str, str] | None) -> Lease | None:
        """The lease that tags state; None for things that are not ours, or no longer say what they are."""
        try:
            return cls.parse(tags)
        except UnreadableLease:
            return None

    @classmethod
    def parse(cls, tags: Mapping[str, str] | None) -> Lease | None:
        """Like `read`, but raises UnreadableLease for tags of ours that state none.

        A moment without a time zone is taken for UTC, and a price that is no number for none.
        """
        found = {name: (tags or {}).get(name) for name in (OWNER, RUN, EXPIRES)}
        if not any(found.values()):
            return None
        missing = [name for name, value in found.items() if not value]
        if missing:
            raise UnreadableLease(f"it has no tag {' and no '.join(missing)}")
        return cls(
            owner=str(found[OWNER]),
            run=str(found[RUN]),
            expires=_moment(str(found[EXPIRES])),
            hourly=price(tags) or 0.0,
            kept=(tags or {}).get(KEPT) == "true",
        )

    def priced(self, hourly: float) -> Lease:
        return self.model_copy(update={"hourly": hourly})

    def extended(self, hours: float | None) -> Lease:
        """The same, kept on purpose for so many hours from now, or for ever."""
        expires = FOREVER if hours is None else _now() + timedelta(hours=hours)
        return self.model_copy(update={"expires": expires, "kept": True})

    def over(self, held: Lease | None) -> Lease:
        """This lease, to be written in the place of the one held so far: no shorter than that."""
        if held is None or held.expires <= self.expires:
            return self
        return self.model_copy(update={"expires": held.expires})

    def is_covered_by(self, held: Lease) -> bool:
        """Whether the lease held so far has about as long to go as this one."""
        now = _now()
        return held.expires - now >= _WORTHWHILE * (self.expires - now)

    def expired(self, now: datetime | None = None) -> bool:
        return (now or _now()) >= self.expires

    def is_kept(self) -> bool:
        """Whether somebody wants the thing beyond the end of its run, and that time has not come."""
        return self.kept and not self.expired()

    def tags(self) -> dict[str, str]:
        tags = {
            OWNER: self.owner,
            RUN: self.run,
            EXPIRES: _NEVER if self.expires == FOREVER else self.expires.isoformat(timespec="seconds"),
            HOURLY: f"{self.hourly:g}",
        }
        return {**tags, KEPT: "true"} if self.kept else tags

    def on(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The tags with this lease in the place of the one that they state."""
        return {name: value for name, value in tags.items() if name != KEPT} | self.tags()


def is_held_by(tags: Mapping[str, str] | None, run: str) -> bool:
    """Whether the run holds the thing, whatever else of its lease can still be read."""
    return (tags or {}).get(RUN) == run


def price(tags: Mapping[str, str] | None) -> float | None:
    """The dollars an hour that tags state; None where they state none, or no number."""
    try:
        hourly = float((tags or {})[HOURLY])
    except (KeyError, ValueError):
        return None
    return hourly if isfinite(hourly) and hourly >= 0 else None


def unless_recreated(found: Any, holder: str | None) -> Any:
    """What was found of the thing that a run held; None when it is gone, or another run's by now.

    While one run sees its thing deleted, another may have created it again under the same name.
    """
    lease = Lease.read(found.tags) if found is not None else None
    return found if lease is None or holder is None or lease.run == holder else None


def _moment(text: str) -> datetime:
    if text.strip().casefold() == _NEVER:
        return FOREVER
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UnreadableLease(f"its tag {EXPIRES} is {text!r}, which is no date") from error


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _now() -> datetime:
    return datetime.now(UTC)
