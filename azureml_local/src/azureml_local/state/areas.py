"""The parts of a workspace that a test may reset, by the names that it has for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from azureml_local.state import documents
from azureml_local.state.documents import COLLECTIONS


class Area(StrEnum):
    """A part of the workspace that can be made as it was in the beginning."""

    WORKSPACES = "workspaces"  # beside the first, and resource groups
    REGISTRIES = "registries"  # beside the first
    JOBS = "jobs"  # with their runs in MLflow
    ENDPOINTS = "endpoints"  # with their deployments
    SCHEDULES = "schedules"
    COMPUTES = "computes"
    MODELS = "models"
    DATA = "data"
    ENVIRONMENTS = "environments"
    COMPONENTS = "components"
    CODES = "codes"
    DATASTORES = "datastores"
    CONNECTIONS = "connections"
    BLOBS = "blobs"
    OPERATIONS = "operations"
    LEDGER = "ledger"
    SUBSCRIPTION = "subscription"  # quotas, and registrations for resource providers
    FAULTS = "faults"
    PERMISSIONS = "permissions"
    CLOCK = "clock"


def _of_assets(collection: str) -> tuple[str, ...]:
    """The versions of the workspace's and the registry's, and what all versions of a name share."""
    found = [documents.assets(collection, registry=registry) for registry in (False, True)]
    shared = [documents.shared_by_versions(kind) for kind in found]
    names = [kind.name for kind in found] + [kind.name for kind in shared]
    return (*names, documents.MLFLOW_MODELS.name) if collection == Area.MODELS else tuple(names)


_KINDS: Mapping[Area, tuple[str, ...]] = {
    Area.WORKSPACES: (
        documents.WORKSPACES.name,
        documents.GROUPS.name,
        documents.TEMPLATES.name,
        documents.DEPENDENT.name,
    ),
    Area.REGISTRIES: (documents.REGISTRIES.name,),
    Area.JOBS: (
        documents.JOBS.name,
        documents.COMPLETED_STEPS.name,
        documents.BATCH_JOBS.name,
        documents.BATCH_COMPONENTS.name,
        documents.COUNTERS.name,
        documents.TRACKED_RUNS.name,
        documents.SEEDS.name,
    ),
    Area.ENDPOINTS: (
        documents.ENDPOINTS.name,
        documents.DEPLOYMENTS.name,
        documents.HELD_NAMES.name,
        documents.BATCH_ENDPOINTS.name,
        documents.BATCH_DEPLOYMENTS.name,
        documents.BATCH_JOBS.name,
        documents.SEEDS.name,
    ),
    Area.SCHEDULES: (documents.SCHEDULES.name,),
    Area.COMPUTES: (
        documents.CLUSTERS.name,
        documents.ALLOCATION_ERRORS.name,
        documents.COMPUTE_INSTANCES.name,
        documents.SEEDS.name,
    ),
    Area.DATASTORES: (documents.DATASTORES.name,),
    Area.CONNECTIONS: (documents.CONNECTIONS.name,),
    Area.BLOBS: (documents.BLOBS.name, documents.FOLDERS.name),
    Area.OPERATIONS: (documents.OPERATIONS.name,),
    Area.LEDGER: (documents.LEDGER.name,),
    Area.SUBSCRIPTION: (documents.QUOTAS.name, documents.PROVIDERS.name),
    **{Area(name): _of_assets(name) for name in COLLECTIONS},
}


def kinds(areas: Iterable[Area]) -> list[str]:
    """The kinds of documents of those areas, by their names in the store.

    A seed that has been planted is forgotten with each of the areas that it has planted something in.
    """
    return [kind for area in areas for kind in _KINDS.get(area, ())]
