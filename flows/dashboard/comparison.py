"""Runs beside each other: what differs in their settings, their data and their outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import BaseModel, ConfigDict

from flows.dashboard.run import report_in
from flows.run import parameters
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


def read(runs: Sequence[str]) -> list[Compared]:
    """The runs of these ids, beginnings of ids, or names; raises Failure for one without a report."""
    with get_client(sync_client=True) as client:
        return [_read(client, each) for each in runs]


def differing(compared: Sequence[Compared]) -> dict[str, list[Any]]:
    """The values, one a run, of everything in which the runs differ: settings, then data and outcome."""
    rows = [_row(each) for each in compared]
    names = list(dict.fromkeys(name for row in rows for name in row))
    every = {name: [row.get(name) for row in rows] for name in names}
    return {name: values for name, values in every.items() if any(value != values[0] for value in values)}


def frame(runs: Sequence[str]) -> pandas.DataFrame:
    """A row for each run, with its settings and its report as columns, for a notebook."""
    import pandas

    found = read(runs)
    return pandas.DataFrame([_row(each) for each in found], index=[each.name for each in found])


def _row(compared: Compared) -> dict[str, Any]:
    report = compared.report.model_dump(mode="json", exclude=_OWN)
    return {**compared.settings, **report}


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
    return Compared(run=str(run.id), name=run.name, settings=dict(_flat(settings)), report=report)


def _found(client: SyncPrefectClient, wanted: str) -> FlowRun:
    """The one run that is meant; the newest of several of one name."""
    try:
        return client.read_flow_run(UUID(wanted))
    except ValueError:
        pass
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW, TRIAL])), sort=FlowRunSort.START_TIME_DESC
    )
    for run in found:
        if run.name == wanted or (len(wanted) >= 6 and str(run.id).startswith(wanted.casefold())):
            return run
    raise Failure(
        f"There is no run {wanted!r} among the newest {len(found)}.",
        "Name it by its id, the first six or more of its letters, or its whole name: finetune history.",
        cause=Cause.NOT_FOUND,
    )


def _flat(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}.")
        else:
            yield path, value
