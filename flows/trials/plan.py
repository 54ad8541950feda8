"""The plan of a group: how many runs, what each would train or use again, and the most that it can cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from flows.plan.facts import Facts
from flows.plan.making import plan_of
from flows.plan.plan import Act, Plan, Problem
from flows.run.config import Finetune
from flows.trials.grid import Sweep, Trial, size, titled
from tasks.core.stages import Stage

First = Callable[[Finetune], Facts]
Again = Callable[[Finetune, Facts], Facts]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Planned(_Value):
    """One run of the group; `at_most` are the dollars of its training, None where no price is known."""

    number: int
    settings: dict[str, str]
    job: str | None  # that there is already
    hours: float | None  # as estimated
    at_most: float | None

    @property
    def title(self) -> str:
        return titled(self.settings)


class SweepPlan(_Value):
    """Everything that a sweep would do, found by reading alone; `first` is the plan of its first run."""

    recipe: str
    combinations: int
    planned: tuple[Planned, ...]
    parallel: int
    budget_usd: float | None
    serving: float | None  # at most, of the winner; None where it is not known, or kept for ever
    first: Plan
    warnings: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def bills(self) -> bool:
        return self.first.bills

    @property
    def unbounded(self) -> float | None:
        """Dollars that the training of all runs can come to by their own limits."""
        every = [each.at_most for each in self.planned]
        known = [value for value in every if value is not None]
        return sum(known) if len(known) == len(every) else None

    @property
    def training(self) -> float | None:
        """The same, by the group's budget where that is less."""
        if self.budget_usd is None or self.unbounded is None:
            return self.unbounded if self.budget_usd is None else self.budget_usd
        return min(self.budget_usd, self.unbounded)

    @property
    def most(self) -> float | None:
        """Dollars at most of everything, with the winner's serving."""
        return None if self.training is None or self.serving is None else self.training + self.serving

    @property
    def must_be_asked(self) -> bool:
        """Whether somebody should say yes before it runs: it is billed, at a price or at an unknown one."""
        return self.first.must_be_asked


def plan_of_group(sweep: Sweep, trials: Sequence[Trial], first: First, again: Again) -> SweepPlan:
    """The plan; facts are looked up once for all runs that differ in their parameters alone.

    Raises Failure for parameters that the component cannot take.
    """
    plans = list(_plans(trials, first, again))
    return SweepPlan(
        recipe=plans[0].recipe,
        combinations=size(sweep),
        planned=tuple(_planned(trial, plan) for trial, plan in zip(trials, plans, strict=True)),
        parallel=sweep.parallel,
        budget_usd=sweep.budget_usd,
        serving=plans[0].most.serving,
        first=plans[0],
        warnings=tuple(dict.fromkeys(warning for plan in plans for warning in plan.warnings)),
        problems=tuple(_problems(sweep, trials, plans)),
    )


def same(config: Finetune, facts: Facts) -> Facts:
    """The facts of the shipped catalogue for other parameters: they know of no job."""
    return facts


def _plans(trials: Sequence[Trial], first: First, again: Again) -> Iterator[Plan]:
    known: dict[str, Facts] = {}
    for trial in trials:
        config = trial.config
        rest = config.model_dump_json(exclude={"parameters"})
        known[rest] = again(config, known[rest]) if rest in known else first(config)
        yield plan_of(config, known[rest])


def _planned(trial: Trial, plan: Plan) -> Planned:
    submit = next(step for step in plan.steps if step.stage is Stage.SUBMIT)
    made = submit.act is Act.REUSE
    return Planned(
        number=trial.number,
        settings=trial.settings,
        job=plan.names.job if made else None,
        hours=0.0 if made else plan.estimate.hours if plan.estimate else None,
        at_most=0.0 if made else plan.most.training,
    )


def _problems(sweep: Sweep, trials: Sequence[Trial], plans: Sequence[Plan]) -> Iterator[Problem]:
    """What would make runs fail, said once for all that it would."""
    found: dict[tuple[str, str], list[Trial]] = {}
    for trial, plan in zip(trials, plans, strict=True):
        for problem in plan.problems:
            found.setdefault((problem.what, problem.do), []).append(trial)
    for (what, do), those in found.items():
        whose = "" if len(those) == len(trials) else f" ({'; '.join(trial.title for trial in those)})"
        yield Problem(what=f"{what.rstrip('.')}{whose}.", do=do)
