"""A check of the doctor: what it looks at, what it says of it, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from flows.doctor.look import Look


class Verdict(StrEnum):
    """How a thing stands."""

    PASS = "pass"
    WARN = "warn"  # a run may go wrong, or could not be told beforehand
    FAIL = "fail"  # a run would fail


class Finding(BaseModel):
    """What a check has found, in a line; `do` mends it, and the facts are for programs."""

    model_config = ConfigDict(frozen=True)

    verdict: Verdict
    says: str
    do: str = ""
    details: str = ""
    facts: dict[str, Any] = {}


class Line(Finding):
    """A finding with the check that has it, and the seconds that it took."""

    check: str
    seconds: float


Examine = Callable[[Look], Iterable[Finding]]


@dataclass(frozen=True)
class Check:
    """One check by its name. What it raises is its failure."""

    name: str
    examine: Examine


@dataclass
class Registry:
    """The checks in the order in which they are shown."""

    checks: list[Check] = field(default_factory=list)

    def check(self, name: str) -> Callable[[Examine], Examine]:
        """Make a function a check."""

        def decorate(examine: Examine) -> Examine:
            self.checks.append(Check(name, examine))
            return examine

        return decorate


def passes(says: str, facts: Mapping[str, Any] | None = None) -> Finding:
    return Finding(verdict=Verdict.PASS, says=says, facts=dict(facts or {}))


def warns(says: str, do: str = "", facts: Mapping[str, Any] | None = None, details: str = "") -> Finding:
    return Finding(verdict=Verdict.WARN, says=says, do=do, details=details, facts=dict(facts or {}))


def fails(says: str, do: str = "", facts: Mapping[str, Any] | None = None, details: str = "") -> Finding:
    return Finding(verdict=Verdict.FAIL, says=says, do=do, details=details, facts=dict(facts or {}))
