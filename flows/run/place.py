"""The options that lead a command of this program to the workspace of a run."""

from __future__ import annotations

from tasks.azure.clients import Session
from tasks.sections.workspace import Workspace


def options(place: Workspace, session: Session) -> tuple[str, ...]:
    """None for the workspace of this machine, which is where commands look by themselves."""
    if place.where == "local":
        return ()
    name = f"{session.subscription_id}/{session.resource_group}/{session.workspace}"
    saved = place.credentials.saved_as if place.credentials is not None else None
    return ("--workspace", name, *(("--credentials", saved) if saved else ()))
