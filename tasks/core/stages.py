"""The stages of the fine-tune by name, in the order in which a run goes through them."""

from __future__ import annotations

START = "start"  # of a run that did not reach a stage
STAGES = (
    "sign in",
    "base model",
    "compute",
    "deploy check",
    "data",
    "parameters",
    "submit",
    "train",
    "metrics",
    "register",
    "endpoint",
    "deploy",
    "traffic",
    "invoke",
    "keep",
    "delete",
    "delete compute",
)
_LONGEST_FIRST = sorted(STAGES, key=len, reverse=True)


def stage_of(task_run: str) -> str:
    """The stage that a task run belongs to, by the run's name: `deploy tuned` is of `deploy`."""
    return next((stage for stage in _LONGEST_FIRST if task_run.startswith(stage)), task_run)


def in_order(stages: set[str]) -> list[str]:
    """The stages in the order of a run; those unknown here come last."""
    order = (START, *STAGES)
    return sorted(stages, key=lambda stage: (order.index(stage) if stage in order else len(order), stage))
