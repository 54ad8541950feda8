"""Jobs that are over before anybody has looked at them, as none is on Azure, where machines come first.

azure-ai-ml prints the log of a job only after it has seen it unfinished, and reads it through run history
only while the job has no output `default`. So a job that is over within seconds of its submission is shown,
to the first who asks run history for it, as about to end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from azureml_local.execution.workspace import Workspace
from azureml_local.state.job_documents import JobDocument

_FASTEST = timedelta(seconds=10)  # no job on Azure is over sooner
_REMEMBERED = timedelta(minutes=10)  # who has submitted it looks by then


def has_ended_unseen(workspace: Workspace, document: JobDocument) -> bool:
    """Whether the job was over that early, and run history has not been asked for it yet."""
    if document["ended"] is None or document["name"] in workspace.seen:
        return False
    created, ended = (datetime.fromisoformat(moment) for moment in (document["created"], document["ended"]))
    return ended - created < _FASTEST and workspace.clock.now() - ended < _REMEMBERED


def look(workspace: Workspace, document: JobDocument) -> bool:
    """The same, and from now on the job has been seen."""
    unseen = has_ended_unseen(workspace, document)
    workspace.seen.add(document["name"])
    return unseen
