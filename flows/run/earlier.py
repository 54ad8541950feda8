"""What earlier runs have reported, and what is in nobody's report: dollars that a lost run has spent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort

from flows.run.config import Finetune
from flows.run.report import KEY, RunReport
from tasks.azure.failure import Cause
from tasks.azure.redaction import redacted
from tasks.job.meter import Bill


def served_by(run: str) -> float:
    """The dollars of serving that a run has reported so far."""
    with get_client(sync_client=True) as client:
        report = last_report(client, UUID(run))
    return report.serving_usd if report is not None else 0.0


def last_report(client: SyncPrefectClient, run: UUID) -> RunReport | None:
    """The newest report of a run; None where it left none, or another version of this program wrote it."""
    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(any_=[KEY])
    )
    found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC, limit=1)
    try:
        return RunReport.model_validate(_rows(found[0].data)[0]) if found else None
    except (ValueError, LookupError, TypeError):
        return None


def report_lost(
    client: SyncPrefectClient, run: FlowRun, config: Finetune, job: str | None, bill: Bill
) -> None:
    """Put into the run's report what its jobs have cost, where it could not itself, or not all of it."""
    report = last_report(client, run.id) or _lost(run, config)
    training = round(bill.dollars, 6)
    if training <= report.training_usd:
        return
    known = {
        "job": report.job or job,
        "training_usd": training,
        "cost_usd": round(training + report.serving_usd, 6),
        "cost_is_least": bill.at_least,
    }
    row = json.loads(report.model_copy(update=known).model_dump_json())
    client.create_artifact(
        ArtifactCreate(
            key=KEY,
            type="table",
            description=f"What the run has cost: ${training:.2f}, seen after its end",
            data=json.dumps(redacted([row])),
            flow_run_id=run.id,
        )
    )


def _lost(run: FlowRun, config: Finetune) -> RunReport:
    """The report of a run whose process was killed before it could write one."""
    state = run.state
    outcome: Any = state.type.value.lower() if state is not None else "crashed"
    now = datetime.now(UTC)
    begun = run.start_time or run.expected_start_time or now
    ended = run.end_time or (state.timestamp if state is not None else now)
    causes = {"cancelled": Cause.CANCELLED, "crashed": Cause.CRASHED}
    return RunReport(
        run=str(run.id),
        recipe=config.recipe,
        trigger="deployment" if run.deployment_id else "ad hoc",
        started=begun,
        ended=ended,
        outcome=outcome,
        failure=state.message if state is not None else None,
        cause=causes.get(outcome, Cause.OTHER),
        base_model=config.base.name,
        data_share=config.data.train.take,
        seconds=round(run.total_run_time.total_seconds(), 2),
        seconds_by_stage={},
    )


def _rows(data: Any) -> Any:
    return json.loads(data) if isinstance(data, str) else data
