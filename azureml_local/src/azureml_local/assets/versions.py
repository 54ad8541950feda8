"""Versions of assets: the documents that are kept of them, and which of a name's is the last and the next."""

from __future__ import annotations

from azureml_local.errors import NotFound
from azureml_local.state.clock import Clock, iso
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import AssetDocument
from azureml_local.state.store import Store
from azureml_local.state.workspace import WorkspaceState


def document(clock: Clock, name: str, version: str, properties: Json) -> AssetDocument:
    """What is kept of a new version."""
    now = iso(clock.now())
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


def put(
    state: WorkspaceState, kind: Kind[AssetDocument], name: str, version: str, properties: Json
) -> AssetDocument:
    """Write one version as the service itself does, without the checks of a client's request."""
    return state.store.put(kind, f"{name}/{version}", document(state.clock, name, version, properties))


def latest(store: Store, kind: Kind[AssetDocument], name: str) -> str:
    """The version created last of an asset; raises NotFound."""
    versions = [
        (found["systemData"]["createdAt"], full.rsplit("/", 1)[-1])
        for full, found in store.list(kind, f"{name}/")
    ]
    if not versions:
        raise NotFound(f"The asset {name} does not exist in {kind.name}.")
    return max(versions)[1]


def following(store: Store, kind: Kind[AssetDocument], name: str) -> str:
    """The version after the last: the number after the highest that one of that name has."""
    versions = [full.rsplit("/", 1)[-1] for full, _ in store.list(kind, f"{name}/")]
    numbers = [int(version) for version in versions if version.isascii() and version.isdigit()]
    return str(max(numbers, default=0) + 1)


_DEFAULTS = {"description": None, "isArchived": False, "isAnonymous": False}
