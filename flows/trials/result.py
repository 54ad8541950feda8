"""What a group of runs has found: each with its settings and losses, repeated ones together, the winner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from flows.run.report import RunReport
from flows.trials.grid import SEED, titled
from tasks.evaluation.interval import of_repeated
from tasks.evaluation.result import Interval


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class End(StrEnum):
    """How a run of the group has ended."""

    TRAINED = "trained"
    FAILED = "failed"
    STOPPED = "stopped"  # by the group's budget
    CANCELLED = "cancelled"
    NOT_STARTED = "not started"


class Tried(_Value):
    """One run of the group; seconds, and US dollars of its training: none for a job that was there."""

    number: int
    settings: dict[str, str]
    end: End
    run: str | None = None
    job: str | None = None
    studio_url: str | None = None
    reused: bool = False
    base_loss: float | None = None
    eval_loss: float | None = None
    train_loss: float | None = None
    dollars: float = 0.0
    seconds: float | None = None
    failure: str | None = None

    @property
    def title(self) -> str:
        return titled(self.settings)

    @property
    def is_measured(self) -> bool:
        return self.end is End.TRAINED and self.eval_loss is not None


class Repeated(_Value):
    """Runs that differ in their seed alone; `loss` is the held-out loss over them."""

    settings: dict[str, str]
    numbers: tuple[int, ...]
    loss: Interval

    @property
    def title(self) -> str:
        return titled(self.settings)


class SweepReport(_Value):
    """A group of runs in one value; `final` is what became of the winner afterwards."""

    sweep: str
    recipe: str
    tried: tuple[Tried, ...]
    repeated: tuple[Repeated, ...] = ()
    winner: int | None = None
    budget_usd: float | None = None
    budget_reached: bool = False
    final: RunReport | None = None

    @property
    def training_usd(self) -> float:
        """Of all runs together."""
        return round(sum(each.dollars for each in self.tried), 6)

    @property
    def cost_usd(self) -> float:
        """With the winner's serving."""
        return round(self.training_usd + (self.final.cost_usd if self.final else 0.0), 6)

    @property
    def best(self) -> Tried | None:
        return next((each for each in self.tried if each.number == self.winner), None)


def repeated(tried: Sequence[Tried]) -> tuple[Repeated, ...]:
    """The measured runs by their settings but for the seed, where some were repeated with another seed."""
    if not any(SEED in each.settings for each in tried):
        return ()
    groups: dict[tuple[tuple[str, str], ...], list[Tried]] = {}
    for each in filter(lambda each: each.is_measured, tried):
        key = tuple((name, value) for name, value in each.settings.items() if name != SEED)
        groups.setdefault(key, []).append(each)
    return tuple(
        Repeated(
            settings=dict(key),
            numbers=tuple(each.number for each in group),
            loss=of_repeated(_losses(group)),
        )
        for key, group in groups.items()
        if len(group) > 1
    )


def winner(tried: Sequence[Tried]) -> int | None:
    """The run with the lowest held-out loss, of those settings whose runs have the lowest in the mean.

    None where none was measured. One lucky seed does not make a setting win.
    """
    means = {number: group.loss.mean for group in repeated(tried) for number in group.numbers}
    found = [each for each in tried if each.is_measured]
    best = min(found, key=lambda each: (means.get(each.number, each.eval_loss), each.eval_loss), default=None)
    return best.number if best else None


def _losses(group: Iterable[Tried]) -> list[float]:
    return [each.eval_loss for each in group if each.eval_loss is not None]


def base_loss(tried: Sequence[Tried]) -> float | None:
    """The base model's, where all runs that have measured it agree."""
    found = {round(each.base_loss, 4) for each in tried if each.base_loss is not None}
    return fmean(found) if len(found) == 1 else None
