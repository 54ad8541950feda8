"""Signs of life: whether a run that Prefect takes for running has a process that goes on with it."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter

SILENT_SECONDS = 300  # ten heartbeats, at the pace that prefect.yaml and the command line set
LOOK_BACK = timedelta(days=1)

_HEARTBEAT = "prefect.flow-run.heartbeat"
_LONGER = 4  # times as long for what has shown no heartbeat yet: a container that starts, an older setting


def is_lost(client: SyncPrefectClient, run: FlowRun, now: datetime, silent: timedelta) -> bool:
    """Whether the run's process has shown no sign of life for so long, of whatever kind."""
    if run.state is None or now - run.state.timestamp < silent:
        return False
    longer = silent if _has_heartbeats(client, run.id) else silent * _LONGER
    since = now - longer
    return (
        run.state.timestamp < since
        and not _has_events(client, run.id, since)
        and not _has_logged(client, run.id, since)
        and not _has_published(client, run.id, since)
    )


def _has_heartbeats(client: SyncPrefectClient, run: UUID) -> bool:
    beats = EventFilter(event=EventNameFilter(name=[_HEARTBEAT]), resource=_resource(run))
    return bool(client.read_events(beats, limit=1).events)


def _has_events(client: SyncPrefectClient, run: UUID, since: datetime) -> bool:
    occurred = EventOccurredFilter(since=since, until=since + LOOK_BACK)  # a clock may be ahead of this one
    found = EventFilter(occurred=occurred, resource=_resource(run))
    return bool(client.read_events(found, limit=1).events)


def _resource(run: UUID) -> EventResourceFilter:
    return EventResourceFilter(id=[f"prefect.flow-run.{run}"])


def _has_logged(client: SyncPrefectClient, run: UUID, since: datetime) -> bool:
    found = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run]), timestamp=LogFilterTimestamp(after_=since))
    return bool(client.read_logs(log_filter=found, limit=1))


def _has_published(client: SyncPrefectClient, run: UUID, since: datetime) -> bool:
    """A run that waits for its job brings its progress up to date at every look."""
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    newest = client.read_artifacts(artifact_filter=of_run, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return any(artifact.updated is not None and artifact.updated >= since for artifact in newest)
