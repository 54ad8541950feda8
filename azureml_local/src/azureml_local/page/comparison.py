"""Two jobs beside each other: what they were given and what they measured, and what of it differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Row(NamedTuple):
    """A parameter, an input or a metric of both; empty where a job has none of that name."""

    name: str
    first: str
    second: str

    @property
    def differs(self) -> bool:
        return self.first != self.second


def rows(first: Mapping[str, str], second: Mapping[str, str]) -> list[Row]:
    """Everything that either has: what differs first, both parts in the order of names."""
    names = sorted(first.keys() | second.keys())
    found = [Row(name, first.get(name, ""), second.get(name, "")) for name in names]
    return sorted(found, key=lambda row: not row.differs)
