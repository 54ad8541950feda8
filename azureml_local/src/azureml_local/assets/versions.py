"""Versions of assets: the documents that are kept of them, and which of a name's is the last and the next."""

from __future__ import annotations

from azureml_local.errors import NotFound
from azureml_local.state.clock import Clock, iso
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import AssetDocument, by_age, by_number
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
    found = store.last(by_age(kind), name)
    if found is None:
        raise NotFound(f"The asset {name} does not exist in {kind.name}.")
    return found["version"]


def following(store: Store, kind: Kind[AssetDocument], name: str) -> str:
    """The version after the last: the number after the highest that one of that name has."""
    found = store.last(by_number(kind), name)
    return "1" if found is None else str(int(found["version"]) + 1)


_DEFAULTS = {"description": None, "isArchived": False, "isAnonymous": False}
