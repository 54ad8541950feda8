"""What each recipe has cost, and what that has come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from flows.dashboard.run import RunRecord
from flows.run import figures

HEAD = ("recipe", "runs", "completed", "median duration", "spent", "in 30 days", "per completed run")


@dataclass(frozen=True)
class RecipeCost:
    """The runs of one recipe together; US dollars and seconds, None where there is nothing to divide by."""

    recipe: str
    runs: int
    completed: int
    seconds: float | None  # median of the completed ones
    spent: float
    recent: float
    each: float | None  # all that was spent, also on what failed, for each completed run

    @property
    def cells(self) -> tuple[str, ...]:
        """A line of a table with this module's head."""
        return (
            self.recipe,
            figures.count(self.runs),
            figures.share(self.completed, self.runs),
            figures.duration(self.seconds),
            figures.dollars(self.spent),
            figures.dollars(self.recent),
            figures.dollars(self.each),
        )


def by_recipe(runs: Sequence[RunRecord], now: datetime) -> tuple[RecipeCost, ...]:
    """The recipes, the most expensive first."""
    groups: dict[str, list[RunRecord]] = defaultdict(list)
    for run in runs:
        groups[run.recipe].append(run)
    costs = (_cost(recipe, members, now - timedelta(days=30)) for recipe, members in groups.items())
    return tuple(sorted(costs, key=lambda cost: (-cost.spent, cost.recipe)))


def _cost(recipe: str, runs: Sequence[RunRecord], since: datetime) -> RecipeCost:
    completed = [run for run in runs if run.state == "completed"]
    took = [run.seconds for run in completed if run.seconds is not None]
    spent = sum(run.cost_usd or 0 for run in runs)
    return RecipeCost(
        recipe=recipe,
        runs=len(runs),
        completed=len(completed),
        seconds=median(took) if took else None,
        spent=spent,
        recent=sum(run.cost_usd or 0 for run in runs if run.when >= since),
        each=spent / len(completed) if completed else None,
    )
