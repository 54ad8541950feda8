"""A seed: which things of other people are in a workspace before its client comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from azureml_local.state.document import Json

SHARED = "shared"
_SEEDS = Path(__file__).parent / "seeds"
_MOST_JOBS = 100_000


class BadSeed(Exception):
    """What was given is no seed; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Seed:
    """What a seed file holds; seeds/shared.yaml shows how each is written."""

    old_jobs: int = 0
    jobs: tuple[Json, ...] = ()
    endpoints: tuple[Json, ...] = ()
    compute_instances: tuple[Json, ...] = ()
    origin: str = field(default="", compare=False)


def read(which: str) -> Seed:
    """The seed `shared`, or that of a YAML file; raises BadSeed."""
    path = _SEEDS / f"{which}.yaml" if which == SHARED else Path(which)
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8-sig")) or {}
    except FileNotFoundError:
        raise BadSeed(f"There is no file {path}; or choose {SHARED}.") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BadSeed(f"The seed {path} cannot be read: {' '.join(str(error).split())}.") from error
    try:
        return _seed(found, which)
    except BadSeed as error:
        raise BadSeed(f"The seed {path} is wrong: {error}") from None


def _seed(found: Any, origin: str) -> Seed:
    known = ("old_jobs", "jobs", "endpoints", "compute_instances")
    if not isinstance(found, Mapping) or set(found) - set(known):
        raise BadSeed(f"it may hold {', '.join(known)} and nothing else.")
    count = found.get("old_jobs", 0)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _MOST_JOBS:
        raise BadSeed(f"old_jobs must be a number of up to {_MOST_JOBS}.")
    return Seed(old_jobs=count, origin=origin, **{name: _named(found, name) for name in known[1:]})


def _named(found: Mapping[str, Any], name: str) -> tuple[Json, ...]:
    value = found.get(name) or []
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and isinstance(each.get("name"), str) for each in value
    ):
        raise BadSeed(f"{name} must be a list of things with a name.")
    return tuple(value)
