"""The lease: tags that say whose a billed thing is, until when it may live, and what it costs."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

# Everything this project bills carries these tags from the request that creates it.
PREFIX = "finetune."
_KEPT = f"{PREFIX}kept"
FOREVER = datetime.max.replace(microsecond=0, tzinfo=UTC)


class Lease(BaseModel):
    """Who owns a thing, which flow run made it, when it expires, and its price in dollars an hour."""

    model_config = ConfigDict(frozen=True)

    owner: str
    run: str
    expires: datetime
    hourly: float = 0.0
    kept: bool = False  # on purpose, past the end of the run

    @classmethod
    def of_run(cls, run: str, hours: float) -> Lease:
        """A lease for this run from now on."""
        return cls(owner=_owner(), run=run, expires=_now() + timedelta(hours=hours))

    @classmethod
    def read(cls, tags: Mapping[str, str] | None) -> Lease | None:
        """The lease that tags state; None for things that are not ours."""
        try:
            found = {name: (tags or {})[PREFIX + name] for name in ("owner", "run", "expires")}
            return cls(
                owner=found["owner"],
                run=found["run"],
                expires=FOREVER if found["expires"] == "never" else datetime.fromisoformat(found["expires"]),
                hourly=float((tags or {}).get(PREFIX + "hourly-usd", 0)),
                kept=(tags or {}).get(_KEPT) == "true",
            )
        except (KeyError, ValueError):
            return None

    def priced(self, hourly: float) -> Lease:
        return self.model_copy(update={"hourly": hourly})

    def extended(self, hours: float | None) -> Lease:
        """The same, kept on purpose for so many hours from now, or for ever."""
        expires = FOREVER if hours is None else _now() + timedelta(hours=hours)
        return self.model_copy(update={"expires": expires, "kept": True})

    def expired(self, now: datetime | None = None) -> bool:
        return (now or _now()) >= self.expires

    def is_kept(self) -> bool:
        """Whether somebody wants the thing beyond the end of its run, and that time has not come."""
        return self.kept and not self.expired()

    def tags(self) -> dict[str, str]:
        tags = {
            "owner": self.owner,
            "run": self.run,
            "expires": "never" if self.expires == FOREVER else self.expires.isoformat(timespec="seconds"),
            "hourly-usd": f"{self.hourly:g}",
        }
        if self.kept:
            tags["kept"] = "true"
        return {PREFIX + name: value for name, value in tags.items()}

    def on(self, tags: Mapping[str, str]) -> dict[str, str]:
        """The tags with this lease in the place of the one that they state."""
        return {name: value for name, value in tags.items() if name != _KEPT} | self.tags()


def unless_anew(found: Any, holder: str | None) -> Any:
    """What was found of the thing that a run held; None when it is gone, or another run's by now.

    While one run sees its thing deleted, another may have made it anew under the same name.
    """
    lease = Lease.read(found.tags) if found is not None else None
    return found if lease is None or holder is None or lease.run == holder else None


def _owner() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _now() -> datetime:
    return datetime.now(UTC)
