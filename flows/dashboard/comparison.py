"""Runs beside each other: what differs in their settings, their data and their outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
)
from pydantic import BaseModel, ConfigDict

from flows.dashboard.difference import settings_of
from flows.dashboard.run import report_in
from flows.run import live, parameters
from flows.run.flow_runs import FLOW, TRIAL
from flows.run.report import KEY, RunReport
from tasks.azure.failure import Cause, Failure

if TYPE_CHECKING:
    import pandas
    from prefect.client.schemas.objects import FlowRun

# What is another for every run, and nothing that a person compares.
_OWN = {"run", "started", "ended", "studio_url", "seconds_by_stage", "reused", "notes", "deletion", "trigger"}


class Compared(BaseModel):
    """A run: its settings by their path in the recipe, and its report."""

    model_config = ConfigDict(frozen=True)

    run: str
    name: str
    settings: dict[str, Any]
    report: RunReport

    @property
    def row(self) -> dict[str, Any]:
        """What may differ: the settings, then data and outcome."""
        return {**self.settings, **self.report.model_dump(mode="json", exclude=_OWN)}


def read(runs: Sequence[str]) -> list[Compared]:
    """The runs of these ids, beginnings of ids, or names; raises Failure for one without a report."""
    with get_client(sync_client=True) as client:
        return [_read(client, each) for each in runs]


def frame(runs: Sequence[str]) -> pandas.DataFrame:
    """A row for each run, with its settings and its report as columns, for a notebook."""
    import pandas

    found = read(runs)
    return pandas.DataFrame([each.row for each in found], index=[each.name for each in found])


def _read(client: SyncPrefectClient, wanted: str) -> Compared:
    run = _found(client, wanted)
    artifacts = client.read_artifacts(
        artifact_filter=ArtifactFilter(
            key=ArtifactFilterKey(any_=[KEY]), flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])
        )
    )
    report = report_in(artifacts[-1].data) if artifacts else None
    if report is None:
        raise Failure(
            f"The run {run.name} has left no report.",
            "Compare runs that have ended: finetune history lists them.",
            cause=Cause.CONFIGURATION,
        )
    settings = parameters.config_of(run).model_dump(mode="json")
    return Compared(run=str(run.id), name=run.name, settings=settings_of(settings), report=report)


def _found(client: SyncPrefectClient, wanted: str) -> FlowRun:
    """The one run that is meant; raises Failure where there is none, and where several may be."""
    run = live.find(client, wanted, (FLOW, TRIAL))
    if run is None:
        raise Failure(
            f"There is no run {wanted!r}.",
            "Name it by its id or by its name, or by a part that no other has: finetune history.",
            cause=Cause.NOT_FOUND,
        )
    return run
