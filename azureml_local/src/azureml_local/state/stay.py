"""For which endpoints a workspace stays up although nobody holds it; clients name the tags that say so."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

_FILE = "stay.json"
_NEVER = "never"


@dataclass(frozen=True)
class Stay:
    """Endpoints whose tag `marked` says `true` are wanted until the moment in their tag `until`, or `never`.

    Azure's endpoints answer until somebody deletes them. A workspace on a person's own machine ends with its
    last holder, unless what runs in it is wanted for longer.
    """

    marked: str
    until: str

    @classmethod
    def read(cls, state: Path) -> Stay | None:
        """What the clients of that state have said; None where none has."""
        try:
            return cls(**json.loads((state / _FILE).read_text()))
        except (FileNotFoundError, ValueError, TypeError):  # its client writes a damaged one again
            return None

    def write(self, state: Path) -> None:
        """Keep it for the server of that state, whoever has started or will start it."""
        if self == self.read(state):
            return
        fresh = state / f"{_FILE}.{os.getpid()}"
        fresh.write_text(json.dumps(asdict(self)))
        fresh.replace(state / _FILE)

    def wanted(self, tags: Mapping[str, str], now: datetime) -> bool:
        """Whether an endpoint with these tags is to answer still; a moment that is no date wants nothing."""
        until = tags.get(self.until, "")
        if tags.get(self.marked) != "true" or not until:
            return False
        if until == _NEVER:
            return True
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            return False
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) > now


def staying(state: Path, endpoints: Iterable[tuple[str, Mapping[str, str]]], now: datetime) -> list[str]:
    """The names of the endpoints, given with their tags, for which the workspace stays."""
    stay = Stay.read(state)
    return [] if stay is None else [name for name, tags in endpoints if stay.wanted(tags, now)]
