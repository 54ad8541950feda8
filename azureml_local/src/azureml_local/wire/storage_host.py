"""Storage accounts by their public addresses: those that a datastore names are this workspace's to answer.

The proxy of the workspace's environment leads their requests here (wire/proxy.py), where they become requests
of the own account for the container that stands for theirs (state/places.py). What is asked of other accounts
goes its own way.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.state.documents import DATASTORES
from azureml_local.state.places import below

_SERVICES = ("blob", "dfs")
_PATH = re.compile(r"/(?P<container>[^/]*)(?P<rest>.*)", re.DOTALL)


def is_kept(first: Workspace, host: str) -> bool:
    """Whether the host is one of an account that a datastore of any workspace names."""
    account = _account(first, host)
    return account is not None and _owner(first, account[0]) is not None


class StorageHost:
    """Gives requests for an account by its host the path that its containers have here."""

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Request(scope).headers.get("host", "").partition(":")[0]
            account = _account(self._workspace, host)
            if account is not None and (match := _PATH.fullmatch(scope["path"])):
                settings = (_owner(self._workspace, account[0]) or self._workspace).settings
                base = settings.blob_path if account[1] == "blob" else settings.dfs_path
                container = below(account[0], match["container"])
                scope = {**scope, "path": f"{base}/{container}{match['rest']}"}
        await self._app(scope, receive, send)


def _owner(first: Workspace, account: str) -> Workspace | None:
    """The workspace with a datastore of that account; of several the first, whose files are then reached."""
    for each in neighbours.everyone(first):
        for _, document in each.store.list(DATASTORES):
            if document["properties"].get("accountName", "").casefold() == account:
                return each
    return None


def _account(workspace: Workspace, host: str) -> tuple[str, str] | None:
    """The account of a host of Azure's and the service, None for other hosts."""
    account, _, rest = host.casefold().partition(".")
    service, _, suffix = rest.partition(".")
    known = suffix == workspace.settings.storage_suffix and service in _SERVICES
    return (account, service) if known and account else None
