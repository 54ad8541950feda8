"""A rule of the gate: a metric, a comparison, and what it is held against; parsed, and never run as code."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict


class Metric(StrEnum):
    """What rules are about; lower is better for losses, counts and perplexity."""

    EVAL_LOSS = "eval_loss"
    TRAIN_LOSS = "train_loss"
    PERPLEXITY = "perplexity"
    ROUGE_L = "rouge_l"
    CHRF = "chrf"
    WIN_RATE = "win_rate"
    EMPTY_ANSWERS = "empty_answers"
    RUNAWAY_ANSWERS = "runaway_answers"
    CUT_ANSWERS = "cut_answers"
    OTHER_LANGUAGE = "other_language"

    @property
    def needs_endpoint(self) -> bool:
        """Whether only a deployed model's answers tell it."""
        return self not in (Metric.EVAL_LOSS, Metric.TRAIN_LOSS, Metric.PERPLEXITY)


class Model(StrEnum):
    """Another model that a metric is held against: its own value of the same metric."""

    INCUMBENT = "incumbent"  # the version that is promoted
    BASE = "base"


class Outcome(StrEnum):
    """What became of a rule."""

    KEPT = "kept"
    BROKEN = "broken"
    NO_INCUMBENT = "no incumbent"  # the first model has nothing to be held against
    UNKNOWN = "unknown"  # what it is about was not measured: that is no pass


Measured = Mapping[Metric, float]
E = TypeVar("E", bound=StrEnum)

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "+": operator.add,
    "-": operator.sub,
}
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_WHOLE = re.compile(
    rf"\s*(?P<metric>[A-Za-z_]+)\s*(?P<compare><=|>=|==|!=|<|>)\s*"
    rf"(?:(?P<number>{_NUMBER})|(?P<model>[A-Za-z_]+)(?:\s*(?P<arithmetic>[*/+-])\s*(?P<by>{_NUMBER}))?)\s*"
)


class Rule(BaseModel):
    """`metric compare number`, or `metric compare model arithmetic number`."""

    model_config = ConfigDict(frozen=True)

    text: str
    metric: Metric
    compare: str
    model: Model | None = None
    arithmetic: str = "*"
    number: float = 1.0  # the bound itself, or what is done to the other model's value

    @classmethod
    def parse(cls, text: str) -> Rule:
        """The rule of a text; raises ValueError saying what is wrong with it and how it is written."""
        found = _WHOLE.fullmatch(text)
        if found is None:
            raise ValueError(
                f"{text!r} is no rule: write a metric, one of {' '.join(_COMPARE)}, and a number or "
                f"`{Model.INCUMBENT} * 1.02`"
            )
        metric = _member(Metric, found["metric"], text, "metric")
        if found["number"] is not None:
            return cls(
                text=text.strip(), metric=metric, compare=found["compare"], number=_finite(found["number"])
            )
        number = _finite(found["by"]) if found["by"] else 1.0
        if found["arithmetic"] == "/" and number == 0:
            raise ValueError(f"{text!r} divides by zero")
        model = _member(Model, found["model"], text, "number or model")
        if metric is Metric.WIN_RATE:
            raise ValueError(f"{text!r}: win_rate is against another model already; hold it against a number")
        return cls(
            text=text.strip(),
            metric=metric,
            compare=found["compare"],
            model=model,
            arithmetic=found["arithmetic"] or "*",
            number=number,
        )

    def held(self, measured: Mapping[Model | None, Measured]) -> Held:
        """The rule against what was measured: of the tuned model under None, of others under their names."""
        value = measured.get(None, {}).get(self.metric)
        if value is None:
            return Held(rule=self.text, outcome=Outcome.UNKNOWN)
        bound = self.number
        if self.model is not None:
            if self.model is Model.INCUMBENT and Model.INCUMBENT not in measured:
                return Held(rule=self.text, outcome=Outcome.NO_INCUMBENT, value=value)
            other = measured.get(self.model, {}).get(self.metric)
            if other is None:
                return Held(rule=self.text, outcome=Outcome.UNKNOWN, value=value)
            bound = _ARITHMETIC[self.arithmetic](other, self.number)
        kept = _COMPARE[self.compare](value, bound)
        return Held(
            rule=self.text, outcome=Outcome.KEPT if kept else Outcome.BROKEN, value=value, bound=bound
        )


class Held(BaseModel):
    """A rule as it was found, with the two numbers that were compared."""

    model_config = ConfigDict(frozen=True)

    rule: str
    outcome: Outcome
    value: float | None = None
    bound: float | None = None

    @property
    def passes(self) -> bool:
        return self.outcome in (Outcome.KEPT, Outcome.NO_INCUMBENT)

    def __str__(self) -> str:
        if self.bound is None:
            return f"{self.rule}: {self.outcome}"
        return f"{self.rule}: {self.outcome} ({self.value:.4g} beside {self.bound:.4g})"


class Judgement(BaseModel):
    """All rules as they were found."""

    model_config = ConfigDict(frozen=True)

    held: tuple[Held, ...]

    @property
    def passed(self) -> bool:
        return all(each.passes for each in self.held)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The rules that were not kept, each with its numbers."""
        return tuple(str(each) for each in self.held if not each.passes)


def _member(kind: type[E], name: str, text: str, what: str) -> E:
    try:
        return kind(name)
    except ValueError:
        raise ValueError(f"{text!r}: there is no {what} {name!r}; there are {', '.join(kind)}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number that a rule can be held against")
    return number
