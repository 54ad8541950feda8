"""The name of a run in lists: its recipe, when it began, and what it has otherwise than the recipe.

What people type into the form stays. Prefect gives all other runs a name of two words, which says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from flows.run.config import Finetune, load, names

_LONGEST = 48  # characters: of a list's row as much as leaves room for the tags
_SHOWN = 18  # of one value
_OF_THE_FORM = re.compile(r"[A-Z][a-z]+-[A-Z][a-z]+")  # what the form has there until somebody changes it
_KEPT_OUT = ("recipe", "workspace.credentials")


def is_given(name: str) -> bool:
    """Whether a person has named the run, and not Prefect."""
    if _OF_THE_FORM.fullmatch(name):
        return False
    words = name.split("-")
    return len(words) != 2 or not all(word in _words() for word in words)


def name_of(config: Finetune, begun: datetime) -> str:
    """The name of a run that nobody has named."""
    name = f"{config.recipe} {begun:%d %b %H:%M}"
    changes = list(_changes(config))
    for at, change in enumerate(changes):
        left = len(changes) - at
        if len(name) + len(change) > _LONGEST:
            return f"{name}, +{left}"
        name = f"{name}, {change}"
    return name


@cache
def _words() -> frozenset[str]:
    """The words that Prefect's names are made of."""
    from coolname.data import config

    parts: dict[str, Any] = config
    return frozenset(word for part in parts.values() for word in part.get("words", ()))


def _changes(config: Finetune) -> Iterator[str]:
    """The fields that are not as in the recipe; none where the recipe is not one of the project's."""
    if config.recipe not in names():
        return
    has = config.model_dump(mode="json")
    differing = _differing(has, load(config.recipe).model_dump(mode="json"))
    found = {path: value for path, value in differing if path not in _KEPT_OUT}
    fields = [path.rsplit(".", 1)[-1] for path in found]
    for (path, value), field in zip(found.items(), fields, strict=True):
        shown = field if fields.count(field) == 1 else ".".join(path.split(".")[-2:])
        yield f"{shown} {_short(value)}"


def _differing(
    ours: Mapping[str, Any], other: Mapping[str, Any], path: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in ours.items():
        under = other.get(name)
        if isinstance(value, Mapping) and isinstance(under, Mapping) and under:
            yield from _differing(value, under, f"{path}{name}.")
        elif value != under:
            yield f"{path}{name}", value


def _short(value: Any) -> str:
    """A value as far as it tells one from another; of a path or an address, its end."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "on", False: "off"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    text = re.split(r"[?#]", str(value))[0].rstrip("/").rsplit("/", 1)[-1]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
