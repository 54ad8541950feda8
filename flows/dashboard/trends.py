"""What the runs amount to week by week: plain values, to be drawn, exported or printed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Literal

from flows.dashboard.run import RunRecord
from flows.run import figures
from tasks.azure.failure import Cause
from tasks.core.stages import Stage, in_order

Unit = Literal["seconds", "dollars", "loss", "runs"]

MOST_WEEKS, FEWEST_WEEKS = 104, 8
_MOST_SERIES = 6  # colours that eyes can tell apart; the rest is one series more
REST = "other"
_WEEK = timedelta(weeks=1)
_COLOURS: dict[str, int] = {
    Stage.DATA: 0,
    Stage.TRAIN: 1,
    "training": 1,
    Stage.REGISTER: 2,
    Stage.ENDPOINT: 3,
    Stage.DEPLOY: 4,
    "serving": 4,
    Stage.DELETE: 5,
    REST: 6,
}


@dataclass(frozen=True)
class Series:
    """A value for each week, None where there is none, and what to say of it.

    `colour` counts in a palette: a stage has the same one in every chart that has room for it.
    """

    name: str
    colour: int
    values: tuple[float | None, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Trend:
    """Series over the same weeks, each week named by its Monday; stacked ones add up."""

    key: str
    title: str
    note: str
    unit: Unit
    stacked: bool
    weeks: tuple[date, ...]
    series: tuple[Series, ...]

    @property
    def empty(self) -> bool:
        return not self.series


def trends(runs: Sequence[RunRecord], now: datetime | None = None) -> tuple[Trend, ...]:
    """The four questions people ask of the history, answered for at most the last two years."""
    now = now or datetime.now(UTC)
    weeks = _weeks(runs, now)
    shown = [run for run in runs if _monday(run.when) >= weeks[0]]
    return (_durations(shown, weeks), _costs(shown, weeks), _losses(shown, weeks), _failures(shown, weeks))


def failures(runs: Iterable[RunRecord]) -> Counter[tuple[str, Cause]]:
    """How many runs ended at which stage and why."""
    return Counter(_failed(run) for run in runs if run.unsuccessful)


def _durations(runs: Iterable[RunRecord], weeks: Sequence[date]) -> Trend:
    spent: dict[date, list[Mapping[str, float]]] = defaultdict(list)
    totals: Counter[str] = Counter()
    for run in runs:
        if run.state == "completed" and run.seconds_by_stage:
            spent[_monday(run.when)].append(run.seconds_by_stage)
            totals.update(run.seconds_by_stage)

    def mean(stages: Iterable[str], week: date) -> tuple[float | None, str]:
        found = spent.get(week)
        if not found:
            return None, ""
        value = sum(row.get(stage, 0) for row in found for stage in stages) / len(found)
        return value, f"{figures.duration(value)} a run, mean of {len(found)}"

    return Trend(
        "duration",
        "Duration by stage",
        "Mean of each week's completed runs. Stages that overlap add up to more than the run took.",
        "seconds",
        True,
        tuple(weeks),
        _series(_grouped(totals), weeks, mean),
    )


def _costs(runs: Iterable[RunRecord], weeks: Sequence[date]) -> Trend:
    spent: dict[tuple[str, date], float] = defaultdict(float)
    totals: Counter[str] = Counter()
    for run in runs:
        for kind, value in (("training", run.training_usd), ("serving", run.serving_usd)):
            if value:
                spent[kind, _monday(run.when)] += value
                totals[kind] += 1

    def total(kinds: Iterable[str], week: date) -> tuple[float | None, str]:
        value = sum(spent.get((kind, week), 0) for kind in kinds)
        return value or None, figures.dollars(value)

    kinds = {kind: [kind] for kind in ("training", "serving") if totals[kind]}
    return Trend(
        "cost",
        "Cost per week",
        "US dollars at the prices in force when a run began; reused jobs are paid for once.",
        "dollars",
        True,
        tuple(weeks),
        _series(kinds, weeks, total),
    )


def _losses(runs: Iterable[RunRecord], weeks: Sequence[date]) -> Trend:
    found: dict[tuple[str, date], list[float]] = defaultdict(list)
    totals: Counter[str] = Counter()
    for run in runs:
        if run.eval_loss is not None:
            found[run.base, _monday(run.when)].append(run.eval_loss)
            totals[run.base] += 1

    def middle(models: Iterable[str], week: date) -> tuple[float | None, str]:
        losses = [loss for model in models for loss in found.get((model, week), ())]
        if not losses:
            return None, ""
        value = median(losses)
        return value, f"{value:.3f}, median of {len(losses)}, best {min(losses):.3f}"

    models = {model: [model] for model, _ in totals.most_common(_MOST_SERIES)}
    return Trend(
        "eval-loss",
        "Eval loss by model",
        "Held-out loss after training, median of the week; lower is better.",
        "loss",
        False,
        tuple(weeks),
        _series(models, weeks, middle),
    )


def _failures(runs: Iterable[RunRecord], weeks: Sequence[date]) -> Trend:
    causes: dict[tuple[str, date], Counter[Cause]] = defaultdict(Counter)
    totals: Counter[str] = Counter()
    for run in runs:
        if run.unsuccessful:
            stage, cause = _failed(run)
            causes[stage, _monday(run.when)][cause] += 1
            totals[stage] += 1

    def number(stages: Iterable[str], week: date) -> tuple[float | None, str]:
        counted = sum((causes.get((stage, week), Counter()) for stage in stages), Counter[Cause]())
        said = ", ".join(f"{cause} {times}" for cause, times in counted.most_common())
        return float(counted.total()) or None, said

    return Trend(
        "failures",
        "Failures by stage",
        "Runs that failed, crashed or were cancelled, by the stage they stopped at.",
        "runs",
        True,
        tuple(weeks),
        _series(_grouped(totals), weeks, number),
    )


def _series(
    groups: Mapping[str, Iterable[str]],
    weeks: Sequence[date],
    value: Callable[[Iterable[str], date], tuple[float | None, str]],
) -> tuple[Series, ...]:
    made = []
    colours = _coloured(groups)
    for name, members in groups.items():
        values = [value(members, week) for week in weeks]
        made.append(
            Series(name, colours[name], tuple(each for each, _ in values), tuple(note for _, note in values))
        )
    return tuple(made)


def _coloured(names: Iterable[str]) -> dict[str, int]:
    """A colour for each name: its own one, or one that is free."""
    colours = {name: _COLOURS[name] for name in names if name in _COLOURS}
    free = iter(sorted(set(range(_MOST_SERIES + 1)) - set(colours.values())))
    return {name: colours[name] if name in colours else next(free) for name in names}


def _grouped(totals: Counter[str]) -> dict[str, list[str]]:
    """The stages that weigh most, in the order of a run, and all others together."""
    ranked = [stage for stage, _ in totals.most_common()]
    few = ranked if len(ranked) <= _MOST_SERIES + 1 else ranked[:_MOST_SERIES]
    groups = {stage: [stage] for stage in in_order(set(few))}
    rest = [stage for stage in ranked if stage not in groups]
    return {**groups, REST: rest} if rest else groups


def _failed(run: RunRecord) -> tuple[str, Cause]:
    return run.failed_stage or Stage.START, run.cause or Cause.OTHER


def _weeks(runs: Sequence[RunRecord], now: datetime) -> list[date]:
    """The Mondays from the first run to now: enough of them to see a course, not more than can be drawn."""
    last = _monday(now)
    first = min((_monday(run.when) for run in runs), default=last)
    first = max(min(first, last - (FEWEST_WEEKS - 1) * _WEEK), last - (MOST_WEEKS - 1) * _WEEK)
    return [first + index * _WEEK for index in range((last - first).days // 7 + 1)]


def _monday(moment: datetime) -> date:
    day = moment.astimezone(UTC).date()
    return day - timedelta(days=day.weekday())
