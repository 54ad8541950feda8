"""One run of the fine-tune in one value, from Prefect's record of it and the report that it left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from flows.dashboard.difference import settings_of
from flows.run import parameters
from flows.run.report import RunReport
from flows.run.signature import RECIPE
from flows.run.spent import JobCost
from tasks.azure.failure import LIMITS, Cause
from tasks.azure.redaction import redact
from tasks.core.reuse import Reused
from tasks.core.stages import stage_of
from tasks.delete import Deletion

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, TaskRun

# Prefect's types of states, in the words of the history.
State = Literal[
    "completed", "failed", "crashed", "cancelled", "running", "cancelling", "paused", "pending", "scheduled"
]
STATES: tuple[State, ...] = get_args(State)
UNSUCCESSFUL = frozenset({"failed", "crashed", "cancelled"})


class RunRecord(BaseModel):
    """What became of one run; None where a run did not get that far, or crashed before it could say.

    Times are UTC, durations seconds, costs US dollars. `rows` counts both splits; `queued_seconds` is the
    job's time in the cluster's queue.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    when: datetime
    ended: datetime | None = None
    trigger: str
    recipe: str
    model: str
    rows: int | None = None
    data_share: str | None = None
    state: State
    message: str = ""
    failed_stage: str | None = None
    failure: str | None = None
    cause: Cause | None = None
    seconds: float | None = None
    seconds_by_stage: dict[str, float] = {}
    queued_seconds: float | None = None
    training_usd: float | None = None
    serving_usd: float | None = None
    cost_usd: float | None = None
    jobs: tuple[JobCost, ...] = ()
    base_loss: float | None = None
    eval_loss: float | None = None
    train_loss: float | None = None
    rouge_l: float | None = None
    base_rouge_l: float | None = None
    chrf: float | None = None
    base_chrf: float | None = None
    win_rate: float | None = None
    gate: Literal["passed", "not passed"] | None = None
    registered: str | None = None
    endpoint: str | None = None
    deletion: Deletion | None = None
    reused: tuple[Reused, ...] = ()
    job: str | None = None
    studio_url: str | None = None
    workspace: str | None = None
    fingerprint: str | None = None
    settings: dict[str, Any] = Field(default={}, exclude=True, repr=False)  # by their path in the recipe

    @property
    def base(self) -> str:
        """The base model without its version."""
        return self.model.partition(":")[0]

    @property
    def unsuccessful(self) -> bool:
        return self.state in UNSUCCESSFUL

    def serves(self, now: datetime) -> bool:
        """Whether the run left its endpoint up on purpose, with a lease that has not ended."""
        return self.deletion is not None and self.deletion.serves(now)


# What the report calls `model` is the registered one.
_SHARED = (RunRecord.model_fields.keys() & RunReport.model_fields.keys()) - {"model", "ended"}


def run_of(record: FlowRun, row: Mapping[str, Any] | None, tasks: list[TaskRun]) -> RunRecord:
    """The run that Prefect's record, its report's row and, where there is no row, its tasks describe."""
    found = _known(record, tasks)
    report = _report(row)
    if report is not None:
        found |= _reported(report)
    if found["state"] in UNSUCCESSFUL:
        found["cause"] = _cause(found["state"], row, report, tasks)
    else:
        found |= {
            "failed_stage": None,
            "failure": None,
            "cause": None,
        }  # of an attempt that a later one has mended
    return RunRecord(**found)


def row_of(data: Any) -> dict[str, Any] | None:
    """The report's row in the data of its artifact; None when it holds none."""
    rows = json.loads(data) if isinstance(data, str) else data
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else None


def report_in(data: Any) -> RunReport | None:
    """The report in the data of its artifact; None when another version of this program wrote it."""
    return _report(row_of(data))


def _known(record: FlowRun, tasks: list[TaskRun]) -> dict[str, Any]:
    """What Prefect knows by itself: all there is of a run whose process was killed."""
    config = parameters.document(record.parameters or {})
    base = config.get("base")
    state = record.state_type.value.lower() if record.state_type else "pending"
    ran = record.estimated_run_time.total_seconds() if record.start_time else None
    return {
        "id": str(record.id),
        "name": record.name,
        "when": _begun(record),
        "ended": record.end_time,
        "trigger": _trigger(record),
        "recipe": str(config.get("recipe") or "custom"),
        "model": str(base.get("name") if isinstance(base, dict) else "" or "") or "unknown",
        "state": state,
        "message": redact((record.state.message or "") if record.state else ""),
        "failed_stage": _stopped_at(tasks) if state in UNSUCCESSFUL else None,
        "seconds": ran,
        "seconds_by_stage": {
            stage_of(task.name): task.total_run_time.total_seconds() for task in tasks if task.start_time
        },
        "settings": settings_of({part: value for part, value in config.items() if part != RECIPE}),
    }


def _begun(record: FlowRun) -> datetime:
    return record.start_time or record.expected_start_time or record.created or datetime.now(UTC)


def _trigger(record: FlowRun) -> str:
    if record.deployment_id is None:
        return "ad hoc"
    return "schedule" if record.auto_scheduled or "auto-scheduled" in record.tags else "deployment"


def _stopped_at(tasks: list[TaskRun]) -> str | None:
    """The stage that had not completed: the last of them to begin."""
    open_ones = [task for task in tasks if task.start_time and not (task.state and task.state.is_completed())]
    latest = max(open_ones, key=lambda task: task.start_time or datetime.min, default=None)
    return stage_of(latest.name) if latest else None


def _cause(
    state: State, row: Mapping[str, Any] | None, report: RunReport | None, tasks: list[TaskRun]
) -> Cause:
    """The cause of an unsuccessful run; of one that was stopped, the limit that it had reached before."""
    reported = report.cause if report is not None else None
    if state == "cancelled":
        return reported if reported in LIMITS else Cause.CANCELLED
    if state == "crashed":
        return reported if reported in LIMITS else Cause.CRASHED
    if row is None and not tasks:  # Prefect refuses wrong parameters before the flow's code begins
        return Cause.CONFIGURATION
    return reported or Cause.OTHER


def _report(row: Mapping[str, Any] | None) -> RunReport | None:
    """The report in the row; None for one that another version of this program wrote."""
    if row is None:
        return None
    try:
        return RunReport.model_validate(row)
    except ValidationError:
        return None


def _reported(report: RunReport) -> dict[str, Any]:
    return report.model_dump(include=_SHARED) | {
        "model": report.base_model,
        "rows": report.data_rows,
        "registered": f"{report.model}:{report.model_version}" if report.model else None,
    }
