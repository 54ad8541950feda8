"""Policies that end a sweep's trials early, by the primary metric that each has logged so far.

Every value that a trial logs is one interval. A policy is applied at the multiples of its evaluation
interval, once the delay is over. What each of them compares is documented (how-to-tune-hyperparameters).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from azureml_local.errors import BadRequest

Histories = Mapping[str, Sequence[float]]  # what each trial has logged, by its name


@dataclass(frozen=True, kw_only=True)
class Policy:
    """When a policy is applied, and how much worse than others a trial may be.

    Of a Bandit `factor` or `amount` is the slack; of a truncation `percentage` is the share that ends.
    """

    kind: Literal["Bandit", "MedianStopping", "TruncationSelection"]
    interval: int = 1
    delay: int = 0
    factor: float | None = None
    amount: float | None = None
    percentage: int = 0

    def applies_at(self, interval: int) -> bool:
        """Whether trials are judged at their so-many-th value."""
        return interval % self.interval == 0 and interval >= self.delay

    def ends(self, trial: str, interval: int, histories: Histories) -> bool:
        """Whether the trial ends at that interval; greater values are the better ones."""
        reached = {name: values[:interval] for name, values in histories.items() if values}
        best = max(reached[trial])
        match self.kind:
            case "Bandit":
                return best < self._allowed(max(max(values) for values in reached.values()))
            case "MedianStopping":
                return best < median(fmean(values) for values in reached.values())
            case "TruncationSelection":
                at = sorted(values[-1] for values in reached.values() if len(values) == interval)
                last = int(len(at) * self.percentage / 100)
                return last > 0 and reached[trial][-1] <= at[last - 1]

    def _allowed(self, best: float) -> float:
        """The least that a trial must have reached; values that are minimised are negative here."""
        if self.amount is not None:
            return best - self.amount
        slack = 1 + (self.factor or 0.0)
        return best / slack if best >= 0 else best * slack


def read(given: object) -> Policy | None:
    """The policy of a request, None where there is none; raises BadRequest."""
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise _refused("it must be an object")
    kind = given.get("policyType")
    interval, delay = _whole(given, "evaluationInterval"), _whole(given, "delayEvaluation")
    match kind:
        case "Bandit":
            factor, amount = _number(given, "slackFactor") or None, _number(given, "slackAmount") or None
            if factor is None and amount is None:
                raise _refused("a Bandit policy needs a slackFactor or a slackAmount")
            return Policy(kind=kind, interval=interval or 1, delay=delay, factor=factor, amount=amount)
        case "MedianStopping":
            return Policy(kind=kind, interval=interval or 1, delay=delay)
        case "TruncationSelection":
            percentage = _whole(given, "truncationPercentage")
            if not 1 <= percentage <= 99:
                raise _refused("its truncationPercentage is from 1 to 99")
            return Policy(kind=kind, interval=interval or 1, delay=delay, percentage=percentage)
    raise _refused("its policyType is Bandit, MedianStopping or TruncationSelection")


def _whole(given: Mapping[str, Any], name: str) -> int:
    number = _number(given, name) or 0
    if number != int(number):
        raise _refused(f"{name} must be a whole number")
    return int(number)


def _number(given: Mapping[str, Any], name: str) -> float | None:
    value = given.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise _refused(f"{name} must be a number, not negative")
    return float(value)


def _refused(why: str) -> BadRequest:
    return BadRequest(f"The early termination policy is not valid: {why}.", target="earlyTermination")
