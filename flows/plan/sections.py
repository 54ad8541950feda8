"""A plan as sections of lines, from which the terminal and the run's page make theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flows.plan.plan import Act, Basis, Estimate, Machines, Plan
from flows.run import figures
from flows.run.most import Bound, Most
from tasks.core.names import dataset_name

MARKS = {Act.READ: "·", Act.REUSE: "=", Act.NEW: "+", Act.DEPENDS: "?", Act.DELETE: "-"}
LEGEND = "· reads   = uses again   + makes   ? depends on the data or the workspace   - deletes"


class Section(NamedTuple):
    """A heading, and pairs of what is meant and what is said of it."""

    title: str
    rows: tuple[tuple[str, str], ...]


def title(plan: Plan) -> str:
    """The plan in a line."""
    where = f"workspace {plan.workspace}" if plan.workspace else "by the shipped catalogue, nobody asked"
    return f"{plan.recipe}: {plan.base_model} on {dataset_name(plan.data.source)}, {where}"


def sections(plan: Plan) -> tuple[Section, ...]:
    """All that is to be shown, in order; empty sections are left out."""
    every = (
        Section("Stages", tuple((f"{MARKS[step.act]} {step.stage}", step.says) for step in plan.steps)),
        Section("Parameters", tuple(_settings(plan))),
        Section("Machines", tuple(_machines(plan))),
        Section("Quota", tuple(_quota(plan))),
        Section("Cost", tuple(_cost(plan))),
        Section("Names", tuple(_names(plan))),
        Section("Leases", tuple((held.what, _lasts(held.hours)) for held in plan.leases)),
        Section("Warnings", tuple(("!", warning) for warning in plan.warnings)),
        Section("A run would fail", tuple(("✗", f"{each.what} {each.do}".strip()) for each in plan.problems)),
    )
    return tuple(section for section in every if section.rows)


def _settings(plan: Plan) -> Iterator[tuple[str, str]]:
    for setting in plan.settings:
        instead = f", instead of {setting.instead_of}" if setting.instead_of else ""
        yield setting.name, f"{setting.value} ({setting.origin}{instead})"
    for name, why in plan.dropped.items():
        yield name, f"left out: {why}"


def _machines(plan: Plan) -> Iterator[tuple[str, str]]:
    training, serving = plan.training, plan.serving
    rows = f"{training.batch} row{'' if training.batch == 1 else 's'}"
    yield "training", f"{_of(training.machines)}; {rows} an update of the weights"
    yield "serving", f"{_of(serving.machines)} for {' and '.join(serving.deployments)}"
    if serving.image:
        yield "serving image", serving.image


def _of(machines: Machines) -> str:
    gpus = f"{machines.gpus} GPU{'' if machines.gpus == 1 else 's'} each" if machines.gpus else "no GPU"
    return f"{machines.count} × {machines.size}, {gpus}, {_price(machines.hourly)} an hour"


def _quota(plan: Plan) -> Iterator[tuple[str, str]]:
    if not plan.quota:
        why = "not looked at" if plan.quota is None else "it may not be read"
        for need in plan.needs:
            yield need.purpose, f"needs {need.cores} cores of {need.family}; left: {why}"
    for room in plan.quota or ():
        left = "no such row is listed" if room.limit is None else "no limit"
        left = left if room.left is None else f"{room.left} of {room.limit} left"
        yield room.need.purpose, f"needs {room.need.cores} cores of {room.label}: {left}"


def _cost(plan: Plan) -> Iterator[tuple[str, str]]:
    yield (
        "an hour",
        f"{_price(plan.training.machines.hourly)} while it trains, "
        f"{_price(plan.serving.machines.hourly)} while it serves"
        + ("" if plan.bills else "; nobody is billed for it here"),
    )
    yield "training", _estimated(plan.estimate)
    yield "at most", _bounded(plan.most)
    if plan.judge is not None:
        unbounded = plan.judge.tokens is None and plan.judge.dollars is None
        price = ", of which the price is not known here" if unbounded else ""
        yield "judge", f"{plan.judge.model}: {plan.judge.limits}{price}; its provider bills them apart"


def _estimated(estimate: Estimate | None) -> str:
    if estimate is None:
        return "no estimate: no like run is known, and a rule does not apply"
    low, high = estimate.hours / estimate.error, estimate.hours * estimate.error
    hours = f"{_hours(estimate.hours)} ({_hours(low)} to {_hours(high)})"
    basis = "by history" if estimate.basis is Basis.HISTORY else "by a rule"
    if estimate.dollars is None:
        return f"about {hours}, {basis}: {estimate.rests_on}"
    dollars = (estimate.dollars / estimate.error, estimate.dollars * estimate.error)
    least, greatest = map(figures.dollars, dollars)
    return (
        f"about {hours}, {figures.dollars(estimate.dollars)} ({least} to {greatest}), "
        f"{basis}: {estimate.rests_on}"
    )


def _bounded(most: Most) -> str:
    bound = "its budget" if most.bound is Bound.BUDGET else f"the time-out of {most.training_hours:g} h"
    if most.training is None:
        training = f"an unknown price for {most.training_hours:g} h of training"
    else:
        training = f"{figures.dollars(most.training)} of training (by {bound})"
    if most.serving_hours is None:
        serving = "an endpoint that is kept for ever"
    else:
        price = "an unknown price" if most.serving is None else figures.dollars(most.serving)
        serving = f"{price} of serving (by the lease, {most.serving_hours:g} h)"
    together = f"{figures.dollars(most.dollars)}: " if most.dollars is not None else ""
    return f"{together}{training}, {serving}"


def _names(plan: Plan) -> Iterator[tuple[str, str]]:
    names = plan.names
    yield "experiment", names.experiment
    yield "job", f"{names.job or 'follows from the data'}, listed as {names.display_name}"
    yield "model", names.model
    yield "endpoint", names.endpoint or "follows from the job"
    yield "deployments", ", ".join(plan.serving.deployments)
    if plan.fingerprint:
        yield "fingerprint", plan.fingerprint


def _lasts(hours: float | None) -> str:
    return "for ever" if hours is None else f"{hours:g} h"


def _hours(hours: float) -> str:
    return figures.duration(hours * 3600)


def _price(hourly: float | None) -> str:
    return figures.dollars(hourly) if hourly else "an unpublished price"
