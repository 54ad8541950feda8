"""The managed identity of a training cluster: without one, its steps reach no storage that takes no keys."""

from __future__ import annotations

from typing import Any

from tasks.azure import storage
from tasks.azure.clients import Session
from tasks.azure.failure import Cause, Failure
from tasks.sections.compute import SYSTEM, Compute

_ROLE = "the role Storage Blob Data Contributor on the storage account"


def check_found(session: Session, cluster: Any) -> None:
    """Raise Failure for a cluster whose steps could not read the run's data.

    An identity on the job would be no way out: it does not reach into pipeline components
    (learn.microsoft.com/azure/machine-learning/how-to-identity-based-service-authentication).
    """
    if getattr(cluster, "identity", None) is None and not storage.takes_keys(session):
        raise Failure(
            f"The cluster {cluster.name!r} has no managed identity, and the workspace's storage takes no "
            "keys: its steps could not read the data.",
            f"Give it an identity that has {_ROLE}, or name a new cluster in compute.name and set "
            "compute.identity.",
            cause=Cause.STORAGE,
        )


def check_wanted(session: Session, compute: Compute) -> None:
    """Raise Failure where the cluster that would be created needs an identity, and none is named."""
    if compute.identity is None and not storage.takes_keys(session):
        raise Failure(
            "The workspace's storage takes no keys, so that a new cluster needs a managed identity.",
            f"Set compute.identity to the id of a user-assigned identity that has {_ROLE}; or to {SYSTEM}, "
            "for a cluster that is kept and whose own identity is then given the role.",
            cause=Cause.STORAGE,
        )


def configuration(compute: Compute) -> Any:
    """The identity as the SDK takes it, None for a cluster without one."""
    from azure.ai.ml.entities import IdentityConfiguration, ManagedIdentityConfiguration

    if compute.identity is None:
        return None
    if compute.identity == SYSTEM:
        return IdentityConfiguration(type="system_assigned")
    lent = ManagedIdentityConfiguration(resource_id=compute.identity)
    return IdentityConfiguration(type="user_assigned", user_assigned_identities=[lent])
