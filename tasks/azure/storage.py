"""How the workspace's storage account lets people in: with its keys, or by their identities alone."""

from __future__ import annotations

from functools import lru_cache

from tasks.azure import clients
from tasks.azure.clients import Session

_VERSION = "2024-04-01"


@lru_cache(maxsize=8)
def takes_keys(session: Session) -> bool:
    """Whether jobs reach their data with the account's key, which the workspace keeps for them.

    Else the workspace says so itself, or its default datastore has no credentials
    (learn.microsoft.com/azure/machine-learning/how-to-disable-local-auth-storage).
    """
    workspace = clients.read(session, session.workspace_id, _VERSION)["properties"]
    if str(workspace.get("systemDatastoresAuthMode") or "").casefold() == "identity":
        return False
    path = f"{session.workspace_id}/datastores"
    stores = clients.pages(session, path, _VERSION, {"isDefault": "true"})
    return all(_credentials(store) != "none" for store in stores)


def _credentials(store: dict[str, dict[str, dict[str, str]]]) -> str:
    return str((store["properties"].get("credentials") or {}).get("credentialsType") or "").casefold()
