"""What an evaluation has found: answers side by side, scores, checks, and differences with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from tasks.invoke import Message


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Candidate(StrEnum):
    """Whose answer it is."""

    TUNED = "tuned"
    BASE = "base"
    INCUMBENT = "incumbent"  # the model that is promoted, by its own evaluation


class Fault(StrEnum):
    """What is wrong with the form of an answer, whatever it says."""

    EMPTY = "empty"
    RUNAWAY = "runaway"  # it repeats itself
    CUT = "cut"  # no stop token within the tokens allowed
    LANGUAGE = "language"  # another one than the question's and the reference's


class Scored(_Value):
    """An answer, with its scores against the reference; None where what scores is not installed.

    `rouge_l` is the F-measure from 0 to 1, `chrf` from 0 to 100.
    """

    text: str
    rouge_l: float | None
    chrf: float | None
    faults: tuple[Fault, ...]


class Asked(_Value):
    """A conversation up to the question, what the data has in the answer's place, and the answers."""

    messages: tuple[Message, ...]
    reference: str
    answers: dict[Candidate, Scored]


class Interval(_Value):
    """A mean with its confidence interval of 95 %, over so many conversations or repeated trainings."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def is_seen(self) -> bool:
        """Whether the interval leaves 0 out: otherwise the difference may be chance."""
        return self.low > 0 or self.high < 0


class Verdicts(_Value):
    """What the judge has said of the tuned model's answers beside another's; `rate` counts a tie as half.

    `left_out` pairs were not judged, for the judge's budget.
    """

    wins: int
    ties: int
    losses: int
    rate: Interval
    left_out: int = 0


class JudgeBill(_Value):
    """What the judge was asked; tokens as it counts them, estimated where it does not. US dollars.

    `dollars` is None where the recipe states no prices.
    """

    requests: int
    tokens: int
    dollars: float | None
    estimated: bool
    left_out: int  # pairs of answers, for its budget

    def __str__(self) -> str:
        about = "about " if self.estimated else ""
        price = "" if self.dollars is None else f", ${self.dollars:.4f}"
        left = f"; {self.left_out} pairs left out by its budget" if self.left_out else ""
        return f"{self.requests} requests, {about}{self.tokens:,} tokens{price}{left}"


class Against(_Value):
    """The tuned model beside another: mean differences of the scores, positive where it is better."""

    other: Candidate
    rouge_l: Interval | None
    chrf: Interval | None
    judged: Verdicts | None = None


class Evaluation(_Value):
    """Answers to held-out questions, and what follows from them."""

    asked: tuple[Asked, ...]
    against: tuple[Against, ...]
    note: str = ""  # what could not be measured, and why
    judge: JudgeBill | None = None

    def of(self, candidate: Candidate) -> list[Scored]:
        """The candidate's answers, in the order of the questions."""
        return [each.answers[candidate] for each in self.asked if candidate in each.answers]

    def rouge_l(self, candidate: Candidate) -> float | None:
        return mean(each.rouge_l for each in self.of(candidate))

    def chrf(self, candidate: Candidate) -> float | None:
        return mean(each.chrf for each in self.of(candidate))

    def faults(self, fault: Fault, candidate: Candidate = Candidate.TUNED) -> int:
        """How many of the answers have the fault."""
        return sum(fault in each.faults for each in self.of(candidate))


def mean(values: Iterable[float | None]) -> float | None:
    """None of no values, and where one is not known."""
    found = list(values)
    known = [value for value in found if value is not None]
    return fmean(known) if known and len(known) == len(found) else None
