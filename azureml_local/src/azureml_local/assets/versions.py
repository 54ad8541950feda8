"""Versions of assets: the documents that are kept of them, and which of a name's is the last and the next."""

from __future__ import annotations

from typing import Any

from azureml_local.errors import NotFound
from azureml_local.state.clock import iso
from azureml_local.state.store import Document
from azureml_local.state.workspace import WorkspaceState


def document(state: WorkspaceState, name: str, version: str, properties: dict[str, Any]) -> Document:
    """What is kept of a new version."""
    now = iso(state.clock.now())
    return {
        "name": name,
        "version": version,
        "properties": _DEFAULTS | {"tags": {}, "properties": {}} | properties,
        "systemData": {
            "createdAt": now,
            "createdBy": "local user",
            "createdByType": "User",
            "lastModifiedAt": now,
            "lastModifiedBy": "local user",
            "lastModifiedByType": "User",
        },
    }


def put(state: WorkspaceState, kind: str, name: str, version: str, properties: dict[str, Any]) -> Document:
    """Write one version as the service itself does, without the checks of a client's request."""
    return state.store.put(kind, f"{name}/{version}", document(state, name, version, properties))


def latest(state: WorkspaceState, kind: str, name: str) -> str:
    """The version created last of an asset; raises NotFound."""
    versions = [
        (found["systemData"]["createdAt"], full.rsplit("/", 1)[-1])
        for full, found in state.store.list(kind, f"{name}/")
    ]
    if not versions:
        raise NotFound(f"The asset {name} does not exist in {kind}.")
    return max(versions)[1]


def following(state: WorkspaceState, kind: str, name: str) -> str:
    """The number after the highest that a version of that name has."""
    versions = [full.rsplit("/", 1)[-1] for full, _ in state.store.list(kind, f"{name}/")]
    numbers = [int(version) for version in versions if version.isascii() and version.isdigit()]
    return str(max(numbers, default=0) + 1)


_DEFAULTS = {"description": None, "isArchived": False, "isAnonymous": False}
