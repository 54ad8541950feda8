"""The workspaces and registries beside the first: each has a state of its own, and a server has them all.

What is of the subscription, the region or a registry is the first one's, as are time, roles and faults.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

from azureml_local.errors import NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import Settings, Storage
from azureml_local.state.documents import ENDPOINTS, REGISTRIES, WORKSPACES
from azureml_local.state.workspace_documents import RegistryDocument, WorkspaceDocument


def key(group: str, name: str) -> str:
    """What a workspace is kept under."""
    return f"{group}/{name}".lower()


def everyone(first: Workspace) -> Iterator[Workspace]:
    """The first workspace and those beside it."""
    yield first
    yield from tuple(first.others.values())


def open_all(first: Workspace) -> None:
    """Open the workspaces and registries that are kept beside the first."""
    for _, document in first.store.list(WORKSPACES):
        if find(first, document["group"], document["name"]) is None:
            add(first, document)
    for _, kept in first.store.list(REGISTRIES):
        add_registry(first, kept)


def add(first: Workspace, document: WorkspaceDocument) -> Workspace:
    """Open a workspace of that description beside the first; nothing runs in it before `start`."""
    made = Workspace.open(_settings(first, document), first)
    first.others[key(document["group"], document["name"])] = made
    return made


def remove(first: Workspace, group: str, name: str) -> None:
    """End what runs in the workspace, and remove all that was in it."""
    gone = first.others.pop(key(group, name), None)
    if gone is None:
        return
    first.ended.append(gone)  # its connections are closed by the loop that has them
    gone.jobs.end_all()
    gone.deployments.end_all()
    gone.close()
    shutil.rmtree(gone.settings.state, ignore_errors=True)


def remove_workspaces(first: Workspace) -> None:
    """Remove every workspace beside the first."""
    for each in tuple(first.others.values()):
        remove(first, each.settings.resource_group, each.settings.workspace)


def registry(first: Workspace, name: str) -> Workspace | None:
    """What keeps the registry of that name, as a workspace does."""
    if name.casefold() == first.settings.registry.casefold():
        return first
    return cast(Workspace | None, first.registries.get(name.lower()))


def add_registry(first: Workspace, document: RegistryDocument) -> Workspace:
    """Open a registry of that description beside the first; nothing ever runs in it."""
    settings = first.settings.of_registry(document["group"], document["name"], document["location"])
    made = Workspace.open(settings, first)
    kept = document["name"].lower()
    first.registries[kept] = made
    first.store.registries[kept] = made.store
    made.store.registries = first.store.registries
    first.store.registries[first.settings.registry.lower()] = first.store
    return made


def remove_registry(first: Workspace, name: str) -> None:
    """Remove the registry with all that is in it."""
    gone = registry(first, name)
    if gone is None or gone is first:
        return
    del first.registries[name.lower()], first.store.registries[name.lower()]
    first.ended.append(gone)
    gone.close()
    shutil.rmtree(gone.settings.state, ignore_errors=True)


def remove_registries(first: Workspace) -> None:
    """Remove every registry beside the first."""
    for name in tuple(first.registries):
        remove_registry(first, name)


def find(first: Workspace, group: str, name: str) -> Workspace | None:
    """The workspace of that group and name."""
    wanted = key(group, name)
    if wanted == key(first.settings.resource_group, first.settings.workspace):
        return first
    return first.others.get(wanted)


def of_account(first: Workspace, account: str) -> Workspace:
    """The workspace or registry whose storage account it is; raises NotFound."""
    for each in (*everyone(first), *first.registries.values()):
        if each.settings.storage == account:
            return cast(Workspace, each)
    raise NotFound(f"There is no storage account {account}.", code="ResourceNotFound")


def of_endpoint(first: Workspace, name: str) -> Workspace | None:
    """The workspace that has the online endpoint: a name is taken once in a region."""
    return next((each for each in everyone(first) if each.store.get(ENDPOINTS, name) is not None), None)


def of_operation(first: Workspace, operation_id: str) -> Workspace | None:
    """The workspace or registry in which the operation was begun."""
    kept = (*everyone(first), *first.registries.values())
    found = (each for each in kept if each.operations.knows(operation_id))
    return cast(Workspace | None, next(found, None))


def _settings(first: Workspace, document: WorkspaceDocument) -> Settings:
    made = first.settings.beside(
        document["group"], document["name"], document["storage"], document["location"]
    )
    mode = document["properties"].get("systemDatastoresAuthMode")
    storage: Storage = "identity" if mode == "identity" else "keys"
    return replace(made, scenario=replace(made.scenario, storage=storage, seed=None))
