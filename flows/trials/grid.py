"""The grid: every combination of the values to be tried, or a seeded sample of them, as configurations."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from flows.run.config import Finetune, apply, document, find, parse
from tasks.azure.failure import Cause, Failure

MOST = 200  # runs of one group
SEED = "parameters.training.seed"
# What shapes a trained model. Anything else would train the same one again, or only serve it otherwise.
_SECTIONS = ("parameters", "data", "base", "compute", "pipeline")


class Try(BaseModel):
    """A setting, and the values that it shall have in turn."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="Setting to try")

    setting: str = Field(
        min_length=1, description="Its place in the recipe, such as parameters.training.learning_rate."
    )
    values: tuple[str, ...] = Field(
        min_length=1, description="As they are written in a recipe, such as 1e-5 and 5e-5."
    )

    @classmethod
    def read(cls, text: str) -> Try:
        """Such as `parameters.training.learning_rate=1e-5,5e-5`; raises Failure for another form."""
        setting, _, given = text.partition("=")
        try:
            values = yaml.load(f"[{given}]", yaml.BaseLoader)
        except yaml.YAMLError:
            values = []
        if not setting.strip() or not values or not all(isinstance(value, str) for value in values):
            raise Failure(
                f"Invalid --try {text!r}: expected section.field=value,value.",
                "Name one value or several, such as parameters.training.learning_rate=1e-5,5e-5.",
                cause=Cause.CONFIGURATION,
            )
        return cls(setting=setting.strip(), values=tuple(values))


class Sweep(BaseModel):
    """What is to be tried of a recipe, how much at a time, and for how much at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    tries: tuple[Try, ...]
    changes: tuple[str, ...] = ()  # of every run
    parallel: int = Field(1, ge=1)
    sample: int | None = Field(None, ge=1)
    seed: int = 0
    budget_usd: float | None = Field(None, gt=0)


class Trial(BaseModel):
    """One run of the group: its settings of those that differ, as they are written, and all of them."""

    model_config = ConfigDict(frozen=True)

    number: int
    settings: dict[str, str]
    config: Finetune

    @property
    def title(self) -> str:
        return titled(self.settings)


def titled(settings: Mapping[str, str]) -> str:
    """The settings in a line, each by the last of its names."""
    return ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in settings.items())


def trials(sweep: Sweep) -> tuple[Trial, ...]:
    """The runs of the group, every one of them checked; raises Failure naming what is wrong with which."""
    path = find(sweep.recipe)
    body = document(path)
    found = []
    for number, settings in enumerate(_chosen(sweep), 1):
        changes = [*sweep.changes, *(f"{name}={value}" for name, value in settings.items())]
        config = _in_a_group(parse(apply(body, changes), path.stem), sweep.budget_usd)
        found.append(Trial(number=number, settings=settings, config=config))
    _check_difference(found)
    return tuple(found)


def size(sweep: Sweep) -> int:
    """How many combinations there are, whether sampled or not."""
    return prod(len(each.values) for each in sweep.tries)


def _chosen(sweep: Sweep) -> Iterator[dict[str, str]]:
    _check(sweep)
    every = size(sweep)
    wanted = every if sweep.sample is None else min(sweep.sample, every)
    if wanted > MOST:
        raise Failure(
            f"That would be {wanted:,} runs, and a group has {MOST} at most.",
            "Try fewer values, or a sample of them: --sample 20.",
            cause=Cause.CONFIGURATION,
        )
    # By number: a sample of a million combinations needs no list of them.
    numbers: Sequence[int] = range(every)
    if wanted < every:
        numbers = sorted(random.Random(sweep.seed).sample(range(every), wanted))
    for number in numbers:
        yield _combination(sweep.tries, number)


def _combination(tries: Sequence[Try], number: int) -> dict[str, str]:
    """The combination of that number, where the values of the last setting change from one to the next."""
    found: dict[str, str] = {}
    for each in reversed(tries):
        number, at = divmod(number, len(each.values))
        found[each.setting] = each.values[at]
    return {each.setting: found[each.setting] for each in tries}


def _check(sweep: Sweep) -> None:
    if not sweep.tries:
        raise Failure(
            "There is nothing to try.",
            "Name a setting and its values: --try parameters.training.learning_rate=1e-5,5e-5.",
            cause=Cause.CONFIGURATION,
        )
    names = [each.setting for each in sweep.tries]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Failure(
            f"{twice[0]} is tried twice.", "Name all of its values in one --try.", cause=Cause.CONFIGURATION
        )
    for name in names:
        if name.partition(".")[0] in Finetune.model_fields and name.partition(".")[0] not in _SECTIONS:
            raise Failure(
                f"{name} does not change what is trained.",
                f"A sweep tries settings of {', '.join(_SECTIONS)}; set others with --set, for all runs.",
                cause=Cause.CONFIGURATION,
            )


def _in_a_group(config: Finetune, budget: float | None) -> Finetune:
    """The configuration as a run of a group has it: the group is approved, and none costs more than all may.

    Raises Failure for a recipe that trains again what was trained: a group's runs are found by their inputs.
    """
    if config.fresh:
        raise Failure(
            "A sweep cannot train everything again: its runs are found by their inputs.",
            "Set fresh to false, or change parameters.training.seed.",
            cause=Cause.CONFIGURATION,
        )
    limits = [limit for limit in (config.wait.budget_usd, budget) if limit is not None]
    wait = {"mode": "poll", "budget_usd": min(limits, default=None)}
    changed: dict[str, Any] = {
        "approval": config.approval.model_copy(update={"required": False}),
        "wait": config.wait.model_copy(update=wait),
    }
    return config.model_copy(update=changed)


def _check_difference(trials: Sequence[Trial]) -> None:
    """Refuse two runs that are the same: 1e-5 and 0.00001 are one value."""
    seen: dict[str, Trial] = {}
    for trial in trials:
        same = seen.setdefault(trial.config.model_dump_json(), trial)
        if same is not trial:
            raise Failure(
                f"Two runs would be the same: {same.title}, and {trial.title}.",
                "Name each value once.",
                cause=Cause.CONFIGURATION,
            )
