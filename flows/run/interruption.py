"""A run that was interrupted: what became of its job, its endpoint and its cluster, in words."""

from __future__ import annotations

from flows.run import figures
from flows.run.context import Run
from tasks.core.ending import Ending, ending_of, signal_of
from tasks.delete import EndpointEnd


def summary(run: Run, error: BaseException, dollars: float) -> str:
    """What an interrupted run has left and what it has cost."""
    parts = [] if ending_of(error) is Ending.CANCELLED else [f"its process was ended by {signal_of(error)}"]
    parts += [part for part in (_job(run), _endpoint(run), _cluster(run)) if part]
    return f"{'; '.join(parts)}; {figures.dollars(dollars)} spent."


def left(run: Run) -> str:
    """What a run that did not get to release it leaves behind, and the commands that delete it."""
    commands = []
    submission, cluster = Run.submission.of(run), Run.cluster.of(run)
    if submission and not submission.reused and not Run.trained.of(run) and not Run.cancelled.of(run):
        commands.append(f"az ml job cancel -n {submission.name}")
    if (endpoint := Run.endpoint.of(run)) and not Run.deletion.of(run):
        commands.append(f"az ml online-endpoint delete -n {endpoint.name}")
    name = run.config.compute.training
    made = cluster.created if cluster else not run.config.compute.is_serverless
    if made and not Run.deleted_cluster.of(run):
        commands.append(f"az ml compute delete -n {name}")
    if not commands:
        return "nothing of the run is left"
    return f"this may be left and cost: {'; '.join(commands)} (`finetune reap` does so when its lease ends)"


def _job(run: Run) -> str:
    cancelled, submission = Run.cancelled.of(run), Run.submission.of(run)
    if cancelled:
        return f"{', '.join(cancelled)} cancelled"
    if submission is None:
        return "no job was submitted"
    if Run.trained.of(run):
        return f"job {submission.name} completed"
    if Run.job_has_ended.of(run):
        return f"job {submission.name} had ended"
    if submission.reused:
        return f"job {submission.name} goes on for flow run {submission.reused.run}"
    return f"job {submission.name} goes on for whoever runs this again"


def _endpoint(run: Run) -> str:
    deletion = Run.deletion.of(run)
    if deletion is None:
        return ""
    what = "deleted" if deletion.state is EndpointEnd.DELETED else str(deletion)
    return f"endpoint {deletion.endpoint} {what}"


def _cluster(run: Run) -> str:
    name = Run.deleted_cluster.of(run)
    return f"cluster {name} deleted" if name else ""
