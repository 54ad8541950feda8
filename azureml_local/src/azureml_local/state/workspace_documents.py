"""What is kept of workspaces and registries beside the first, of resource groups and of templates."""

from __future__ import annotations

from typing import TypedDict

from azureml_local.state.document import Json, SystemData


class WorkspaceDocument(TypedDict):
    """A workspace: what was said of it when it was made, and since.

    `storage` is the name of its account; `properties` are those that Resource Manager shows besides what
    follows from the names. Of the first workspace only what was changed is kept.
    """

    group: str
    name: str
    storage: str
    location: str
    tags: dict[str, str]
    identity: Json | None
    properties: Json
    systemData: SystemData


class RegistryDocument(TypedDict):
    """A registry beside the first; `properties` are what was said of it, with its accounts."""

    group: str
    name: str
    location: str
    tags: dict[str, str]
    identity: Json | None
    properties: Json
    systemData: SystemData


class GroupDocument(TypedDict):
    """A resource group."""

    name: str
    location: str
    tags: dict[str, str]


class DeploymentOfTemplateDocument(TypedDict):
    """What Resource Manager has deployed by a template; `made` are the ids of resources."""

    name: str
    group: str
    parameters: Json
    made: list[str]
    timestamp: str
