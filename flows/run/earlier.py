"""What runs have reported, and what is in nobody's report: dollars that a lost run has spent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort

from flows.run.config import Finetune
from flows.run.flow_runs import flow_runs
from flows.run.life import is_lost
from flows.run.parameters import config_of
from flows.run.report import KEY, RunReport
from flows.run.spent import NOTHING, JobCost, Spent
from tasks.azure.errors import explain
from tasks.azure.failure import Cause
from tasks.azure.redaction import redacted
from tasks.core.stage import logger
from tasks.job.meter import Bill
from tasks.spending import Served

# Without a sign of life a run has lost its process: three heartbeats here, as nothing is done to the run.
_SILENT = timedelta(seconds=100)
_WORTH = 0.02  # of a job's dollars: two looks at the same job differ by less


def served_by(run: str) -> float:
    """The dollars of serving that a run has reported so far."""
    with get_client(sync_client=True) as client:
        report = last_report(client, UUID(run))
    return report.serving_usd if report is not None else 0.0


def unreported(holder: str, job: str, dollars: float, ended: datetime | None) -> float:
    """What of a job's dollars the run that holds it has not reported, and will not, as its process is gone.

    Zero for a run that goes on, for one that this Prefect server does not know, and for one that has reported
    the job once that had `ended`: it knew better what was up for it.
    """
    with get_client(sync_client=True) as client:
        run = _find(client, holder)
        if run is None or run.state is None:
            return 0.0
        if not run.state.is_final() and not is_lost(client, run, datetime.now(UTC), _SILENT):
            return 0.0
        report = last_report(client, run.id)
    counted = report.counted(job) if report is not None else 0.0
    if report is not None and counted and ended is not None and report.ended >= ended:
        return 0.0
    rest = dollars - counted
    return rest if rest > _WORTH * dollars else 0.0


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


def report_served(client: SyncPrefectClient, served: Iterable[Served]) -> None:
    """Put into the reports of their runs what deployments have cost that somebody else has deleted."""
    by_run: dict[str, Spent] = {}
    for each in served:
        before = by_run.get(each.run, Spent())
        bill = before.serving + each.bill(each.ended or each.seen)
        by_run[each.run] = before.model_copy(update={"serving": bill})
    for holder, spent in by_run.items():
        try:
            run = _find(client, holder)
            if run is not None:
                report_lost(client, run, config_of(run), spent)
        except Exception as error:  # noqa: BLE001 - what was deleted stays deleted
            logger().warning("What flow run %s has served cannot be reported: %s", holder, explain(error))


def report_lost(client: SyncPrefectClient, run: FlowRun, config: Finetune, spent: Spent) -> None:
    """Put into the run's report what it has cost, where it could not itself, or not all of it."""
    report = last_report(client, run.id) or _lost(run, config)
    taken = tuple(job for job in report.jobs if job.run != str(run.id))
    held = spent.training.dollars + sum(job.counted for job in taken)
    training = max(round(held, 6), report.training_usd)
    serving = max(round(spent.serving.dollars, 6), report.serving_usd)
    if (training, serving) == (report.training_usd, report.serving_usd):
        return
    is_trained = training > report.training_usd
    known = {
        "job": report.job or (spent.jobs[0].name if spent.jobs else None),
        "jobs": (*spent.jobs, *taken) if is_trained else report.jobs,
        "training_usd": training,
        "serving_usd": serving,
        "cost_usd": round(training + serving, 6),
        "cost_is_least": spent.is_least or (report.cost_is_least and not is_trained),
    }
    row = json.loads(report.model_copy(update=known).model_dump_json())
    client.create_artifact(
        ArtifactCreate(
            key=KEY,
            type="table",
            description=f"What the run has cost: ${training + serving:.2f}, seen after its end",
            data=json.dumps(redacted([row])),
            flow_run_id=run.id,
        )
    )


def spent_by(workspace: str, run: str, jobs: Mapping[str, Bill]) -> Spent:
    """The dollars of a lost run, from the bills of the jobs that it holds."""
    costs = (
        JobCost(workspace=workspace, name=name, run=run, dollars=bill.dollars, counted=bill.dollars)
        for name, bill in jobs.items()
    )
    return Spent(training=sum(jobs.values(), NOTHING), jobs=tuple(costs))


def _find(client: SyncPrefectClient, run: str) -> FlowRun | None:
    """The flow run of that id; None where this server has none, or it is no id."""
    try:
        wanted = UUID(run)
    except ValueError:
        return None
    return next(flow_runs(client, FlowRunFilter(id=FlowRunFilterId(any_=[wanted]))), None)


def _lost(run: FlowRun, config: Finetune) -> RunReport:
    """The report of a run whose process was killed before it could write one."""
    state = run.state
    is_final = state is not None and state.is_final()
    outcome: Any = state.type.value.lower() if state is not None and is_final else "crashed"
    now = datetime.now(UTC)
    begun = run.start_time or run.expected_start_time or now
    ended = run.end_time or (state.timestamp if state is not None and is_final else now)
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
