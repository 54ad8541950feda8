"""What the signed-in identity may do in a workspace, compared with what a run does there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks.azure import clients
from tasks.azure.clients import Session

# Permissions_ListForResource (OpenAPI, Microsoft.Authorization): an entry for each role that holds here.
_VERSION = "2022-04-01"
_PROVIDER = "Microsoft.MachineLearningServices/workspaces"


class Permission(BaseModel):
    """What one role allows; `*` in an action stands for any text, slashes included."""

    model_config = ConfigDict(frozen=True)

    actions: tuple[str, ...]
    not_actions: tuple[str, ...]

    def allows(self, action: str) -> bool:
        return _is_among(action, self.actions) and not _is_among(action, self.not_actions)


class Need(BaseModel):
    """An action that a run takes, and what for."""

    model_config = ConfigDict(frozen=True)

    action: str
    purpose: str


_READ = tuple(
    (f"{_PROVIDER}/{what}/read", f"reading {of}")
    for what, of in (
        ("computes", "clusters"),
        ("jobs", "jobs"),
        ("experiments/runs", "run history and metrics"),
        ("components", "components"),
        ("datastores", "datastores"),
        ("models", "models"),
        ("onlineEndpoints", "endpoints"),
        ("onlineEndpoints/deployments", "deployments"),
    )
)
_RUN = (
    (f"{_PROVIDER}/read", "reading the workspace"),
    *_READ,
    (f"{_PROVIDER}/datastores/listSecrets/action", "uploading the data"),
    (f"{_PROVIDER}/jobs/write", "submitting the job"),
    (f"{_PROVIDER}/jobs/cancel/action", "cancelling the job"),
    (f"{_PROVIDER}/models/versions/write", "registering the model"),
    (f"{_PROVIDER}/onlineEndpoints/write", "creating the endpoint"),
    (f"{_PROVIDER}/onlineEndpoints/delete", "deleting the endpoint"),
    (f"{_PROVIDER}/onlineEndpoints/listKeys/action", "asking the endpoint"),
    (f"{_PROVIDER}/onlineEndpoints/deployments/write", "creating the deployment"),
    (f"{_PROVIDER}/onlineEndpoints/deployments/delete", "deleting the deployment"),
    (f"{_PROVIDER}/onlineEndpoints/deployments/getLogs/action", "reading the deployment's log"),
)
_CLUSTER = (
    (f"{_PROVIDER}/computes/write", "creating the cluster"),
    (f"{_PROVIDER}/computes/delete", "deleting the cluster"),
)


def needed(*, cluster: bool) -> tuple[Need, ...]:
    """The actions of a run in its workspace; `cluster` says that it makes the cluster itself."""
    wanted = (*_RUN, *_CLUSTER) if cluster else _RUN
    return tuple(Need(action=action, purpose=purpose) for action, purpose in wanted)


def held(session: Session) -> tuple[Permission, ...]:
    """What the roles of the identity allow in the workspace, those from above it included."""
    path = f"{session.workspace_id}/providers/Microsoft.Authorization/permissions"
    return tuple(map(_permission, clients.pages(session, path, _VERSION, {})))


def missing(permissions: Iterable[Permission], wanted: Iterable[Need]) -> list[Need]:
    """The needs that no role meets."""
    roles = tuple(permissions)
    return [need for need in wanted if not any(role.allows(need.action) for role in roles)]


def _permission(row: Any) -> Permission:
    return Permission(actions=tuple(row.get("actions") or ()), not_actions=tuple(row.get("notActions") or ()))


def _is_among(action: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns stands for the action, without regard to case."""
    return any(
        re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), action, re.IGNORECASE)
        for pattern in patterns
    )
