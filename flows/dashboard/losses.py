"""The losses that a run could not report, as its job has logged them to MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flows.dashboard.run import RunRecord
from flows.run.workspace import opened
from tasks.azure.errors import is_missing
from tasks.core.lease import PREFIX
from tasks.metrics import HELD_OUT, LOSS
from tasks.sign_in import Workspace, sign_in


def completed(runs: Iterable[RunRecord], workspace: Workspace) -> list[RunRecord]:
    """The runs with job and losses filled in where MLflow has them: a request for each run that lacks them.

    Raises Failure when the workspace cannot be reached.
    """
    from mlflow import MlflowClient

    with opened(workspace.where, workspace.credentials):
        client = MlflowClient(tracking_uri=sign_in.fn(workspace).tracking_uri)
        experiments: list[str] = []
        found = []
        for run in runs:
            if run.eval_loss is not None or run.state in ("pending", "scheduled"):
                found.append(run)
                continue
            experiments = experiments or [each.experiment_id for each in client.search_experiments()]
            found.append(_completed(run, _job_of(client, experiments, run)))
        return found


def _completed(run: RunRecord, job: Any) -> RunRecord:
    if job is None:
        return run
    logged = job.data.metrics
    return run.model_copy(
        update={
            "job": job.info.run_id,
            "eval_loss": logged.get(HELD_OUT),
            "train_loss": run.train_loss or logged.get("train_loss", logged.get(LOSS)),
        }
    )


def _job_of(client: Any, experiments: list[str], run: RunRecord) -> Any:
    """MLflow's run of the job: by its name, or by the lease that a crashed run has left on it."""
    if run.job is not None:
        try:
            return client.get_run(run.job)
        except Exception as error:
            if is_missing(error):
                return None
            raise
    query = f"tags.{PREFIX}run = '{run.id}'"
    jobs = client.search_runs(experiments, filter_string=query, max_results=1) if experiments else []
    return jobs[0] if jobs else None
