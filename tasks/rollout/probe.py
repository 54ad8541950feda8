"""Probes: questions to one deployment, by header, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from time import monotonic
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from tasks.azure.failure import Failure
from tasks.invoke import score

_SHOWN = 3  # failures that are told in words


class Probed(BaseModel):
    """What a deployment did with the questions at a share of the traffic; `seconds` of those answered."""

    model_config = ConfigDict(frozen=True)

    share: int
    asked: int
    seconds: tuple[float, ...]
    failures: tuple[str, ...] = ()

    @property
    def error_rate(self) -> float:
        return len(self.failures) / self.asked if self.asked else 0.0

    @property
    def p95(self) -> float:
        """Seconds within which 95 % of the answers came; 0 without one."""
        ordered = sorted(self.seconds)
        return ordered[ceil(0.95 * len(ordered)) - 1] if ordered else 0.0

    def fault(self, max_error_rate: float, max_p95: float | None) -> str:
        """What is wrong with it; empty where nothing is."""
        if self.error_rate > max_error_rate:
            said = "; ".join(self.failures[:_SHOWN])
            return f"{len(self.failures)} of {self.asked} probes failed ({said})"
        if max_p95 is not None and self.p95 > max_p95:
            return f"95 % of its answers take {self.p95:.1f} s, and may take {max_p95:g} s"
        return ""

    def __str__(self) -> str:
        answered = self.asked - len(self.failures)
        return f"{self.share} %: {answered} of {self.asked} answered, p95 {self.p95:.2f} s"


class Target(BaseModel):
    """Where to ask: the scoring address, its key, and the deployment that is named in the header."""

    model_config = ConfigDict(frozen=True)

    address: str
    key: str
    deployment: str


def probe(target: Target, share: int, questions: Sequence[dict[str, Any]]) -> Probed:
    """Ask the deployment each question once; an empty answer is a failure as an error is."""
    seconds: list[float] = []
    failures: list[str] = []
    for body in questions:
        begun = monotonic()
        try:
            score(target.address, target.key, target.deployment, body)
        except (Failure, requests.RequestException) as error:
            failures.append(error.what if isinstance(error, Failure) else type(error).__name__)
        else:
            seconds.append(monotonic() - begun)
    return Probed(share=share, asked=len(questions), seconds=tuple(seconds), failures=tuple(failures))


def lines(probed: Iterable[Probed]) -> str:
    """All probes of a roll-out, a line each."""
    return "\n".join(map(str, probed))
