"""Where the files of a datastore lie: the container that stands here for its place in a storage account."""

from __future__ import annotations

from azureml_local.state.documents import DatastoreProperties

# Before the name of a file share: the shares of an account have names of their own beside its containers'.
_SHARE = "$share$"


def is_own(account: str | None) -> bool:
    """Whether the workspace's own account is meant; in its name, unlike all others, there is a slash."""
    return account is None or "/" in account


def container_of(given: DatastoreProperties) -> str:
    """The name of the container; no client can make one, since a `$` within is in no name of Azure's."""
    account = given.get("accountName")
    if (share := given.get("fileShareName")) is not None:
        return below(account, _SHARE + share)
    return below(account, given.get("filesystem") or given.get("containerName") or "")


def below(account: str | None, container: str) -> str:
    """The container here of that name in the account."""
    return container if account is None or is_own(account) else f"{account.lower()}${container}"


def account_of(container: str) -> str:
    """The account that a container here is of, empty for the workspace's own."""
    return container.partition("$")[0] if "$" in container else ""
