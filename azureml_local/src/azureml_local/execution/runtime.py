"""What every run of a job uses: the workspace's state, the records of jobs, the nodes of clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from azureml_local.execution.cluster import Clusters
from azureml_local.execution.environments import Environments
from azureml_local.execution.job_records import JobRecords
from azureml_local.execution.tracking import Tracking
from azureml_local.settings import ARTIFACT_DATASTORE
from azureml_local.state.workspace import WorkspaceState


@dataclass(frozen=True)
class Runtime:
    """Shared by all runs of one server."""

    state: WorkspaceState
    records: JobRecords
    clusters: Clusters
    tracking: Tracking
    environments: Environments

    def checkpoints(self, fingerprint: str) -> Path:
        """A directory that every run of the same step finds, until one completes."""
        return self.state.settings.checkpoints_path / fingerprint

    def artifacts(self, job: str) -> Path:
        """The folder of the job's artifacts: its logs, and what it writes to `outputs`."""
        return self.state.blobs.datastore_path(ARTIFACT_DATASTORE, artifact_folder(job))


def artifact_folder(job: str) -> str:
    """The path of a job's artifacts in the artifact datastore."""
    return f"ExperimentRun/dcid.{job}"
