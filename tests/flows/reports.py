"""The report that a run leaves in Prefect."""

from __future__ import annotations

import json

from flows.run.report import RunReport


def report_of(run: str) -> RunReport:
    """The latest report of the flow run."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    wanted = ArtifactFilter(
        flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(any_=["finetune-run"])
    )
    with get_client(sync_client=True) as client:
        artifact, *_ = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.CREATED_DESC)
    return RunReport.model_validate(json.loads(str(artifact.data))[0])
