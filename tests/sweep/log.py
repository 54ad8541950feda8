"""The log of a sweep: a line for every case that was tried, so that hours of them can be taken up again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter

from tests.sweep.worker import Case, Tried

_LINE = TypeAdapter(Tried)


def read(path: Path) -> list[Tried]:
    """What was tried before; nothing where there is no log yet."""
    if not path.exists():
        return []
    return [_LINE.validate_json(line) for line in path.read_bytes().splitlines()]


def append(path: Path, tried: Tried) -> None:
    with path.open("ab") as log:
        log.write(_LINE.dump_json(tried) + b"\n")


def untried(wanted: Iterable[Case], before: Iterable[Tried]) -> list[Case]:
    """The cases that are still to be tried; their serials stay, as those are of a new workspace's runs."""
    done = {(tried.case.kind, tried.case.at) for tried in before}
    return [case for case in wanted if (case.kind, case.at) not in done]
