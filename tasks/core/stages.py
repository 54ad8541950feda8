"""The stages by name, in the order in which a run goes through them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Stage(StrEnum):
    """A stage of the fine-tune, or one of what keeps house after it; the value is what people read."""

    START = "start"  # before the first stage
    SIGN_IN = "sign in"
    BASE_MODEL = "base model"
    COMPUTE = "compute"
    DEPLOY_CHECK = "deploy check"
    DATA = "data"
    PARAMETERS = "parameters"
    SUBMIT = "submit"
    TRAIN = "train"
    METRICS = "metrics"
    REGISTER = "register"
    ENDPOINT = "endpoint"
    DEPLOY = "deploy"
    TRAFFIC = "traffic"
    ROLL_OUT = "roll out"
    INVOKE = "invoke"
    EVALUATE = "evaluate"
    GATE = "gate"
    KEEP = "keep"
    DELETE = "delete"
    DELETE_COMPUTE = "delete compute"

    LOOK = "look"  # once at a job, by a run that does not stay
    LIST_JOBS = "list jobs"
    LIST_LEASES = "list leases"
    REAP = "reap"


_ORDER = {stage.value: place for place, stage in enumerate(Stage)}
_LONGEST_FIRST = sorted(Stage, key=len, reverse=True)


def stage_of(task_run: str) -> str:
    """The stage that a task run belongs to, by the run's name: `deploy tuned` is of `deploy`."""
    return next((stage.value for stage in _LONGEST_FIRST if task_run.startswith(stage)), task_run)


def in_order(stages: Iterable[str]) -> list[str]:
    """The stages in the order of a run; those unknown here, of another version's history, come last."""
    return sorted(set(stages), key=lambda stage: (_ORDER.get(stage, len(_ORDER)), stage))
