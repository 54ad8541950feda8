"""Jobs that are over before anybody has looked at them, as none is on Azure, where machines come first.

azure-ai-ml prints the log of a job only after it has seen it unfinished, and reads it through run history
only while the job has no output `default`. So a job that is over within seconds of its submission is shown,
to the first who asks run history for it, as about to end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from azureml_local.execution.workspace import Workspace
from azureml_local.state.documents import JobDocument, has_ended

_FASTEST = timedelta(seconds=10)  # no job on Azure is over sooner


def has_ended_unseen(workspace: Workspace, document: JobDocument) -> bool:
    """Whether the job is over that early, and run history has not been asked for it yet."""
    return has_ended(document) and document["name"] not in workspace.seen and _is_young(workspace, document)


def look(workspace: Workspace, document: JobDocument) -> bool:
    """The same, and from now on the job has been seen."""
    unseen = has_ended_unseen(workspace, document)
    if _is_young(workspace, document):
        workspace.seen.add(document["name"])
    return unseen


def _is_young(workspace: Workspace, document: JobDocument) -> bool:
    return workspace.clock.now() - datetime.fromisoformat(document["created"]) < _FASTEST
