"""In what runs differ, in the terminal and on the page: their settings, by the path in the recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SHORTEST = 8  # characters of an id


def settings_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a configuration that is written as a recipe, each by its path there."""
    return dict(_flat(document))


def differing(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The values, one a row, of everything in which the rows differ, in the order in which they have it."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    every = {name: [row.get(name) for row in rows] for name in names}
    return {name: values for name, values in every.items() if any(value != values[0] for value in values)}


def shown(value: object) -> str:
    """A value in a table; nothing is a setting that was left to the model or the project."""
    return "" if value is None else str(value)


def headings(runs: Sequence[str]) -> list[str]:
    """The ids as short as tells them apart: those of runs that began together begin alike."""
    length = _SHORTEST
    while len({run[:length] for run in runs}) < len(set(runs)):
        length += 1
    return [run[:length].rstrip("-") for run in runs]


def _flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value
