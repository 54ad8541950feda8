"""Data in a workspace: addresses of its datastores and assets, read in the account that keeps them.

azureml-fsspec, which reads such addresses too, cannot be installed beside this project: release 1.4.0 wants
fsspec 2023.10 or older, and `datasets` a newer one. adlfs reads the same files.
"""

from __future__ import annotations

import re
from typing import Any

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause, Failure
from tasks.data.section import Data

# learn.microsoft.com/azure/machine-learning/how-to-access-data-interactive has the long form; jobs take the
# short one as well, within their workspace.
_WORKSPACE = (
    r"azureml://(?:subscriptions/([^/]+)/resourcegroups/([^/]+)/(?:providers/[^/]+/)?workspaces/([^/]+)/)?"
)
_STORED = re.compile(_WORKSPACE + r"datastores/([^/]+)(?:/paths/?(.*))?", re.I)
_ASSET = re.compile(_WORKSPACE + r"data/([^/]+)/versions/([^/]+)", re.I)
_NAMED = re.compile(r"azureml:(?!//)([^/:@]+)(?::([^/:@]+)|@([^/:@]+))?")
_FORMS = "azureml://datastores/NAME/paths/PATH or azureml:NAME:VERSION"
_VERSION = "2024-04-01"
_BLOBS = {"azureblob": "containerName", "azuredatalakegen2": "filesystem"}


def is_meant(dataset: str) -> bool:
    """Whether a dataset is an address within a workspace."""
    return dataset.lower().startswith("azureml:")


def addressed(data: Data, session: Session) -> Data:
    """The section with an address that says its workspace, where it names none but this one."""
    if not is_meant(data.dataset):
        return data
    where = f"azureml://subscriptions/{session.subscription_id}/resourcegroups/{session.resource_group}"
    where = f"{where}/workspaces/{session.workspace}"
    if (stored := _STORED.fullmatch(data.dataset)) and not stored[1]:
        full = f"{where}/datastores/{stored[4]}/paths/{stored[5] or ''}"
    elif (asset := _ASSET.fullmatch(data.dataset)) and not asset[1]:
        full = f"{where}/data/{asset[4]}/versions/{asset[5]}"
    elif named := _NAMED.fullmatch(data.dataset):
        version = named[2] or f"@{named[3] or 'latest'}"
        full = f"{where}/data/{named[1]}/versions/{version}"
    else:
        return data
    return data.model_copy(update={"dataset": full})


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it; raises Failure."""
    if asset := _ASSET.fullmatch(address):
        session = _session(asset)
        return opened_at(_path_of(session, asset[4], asset[5]), session)
    if stored := _STORED.fullmatch(address):
        return _store(_session(stored), stored[4], stored[5] or "")
    if _NAMED.fullmatch(address):
        session = _session(None)
        return opened(addressed(Data(dataset=address), session).dataset)
    raise Failure(
        f"{address} is no address of data in a workspace.", f"Name it as {_FORMS}.", cause=Cause.CONFIGURATION
    )


def opened_at(path: str, session: Session) -> tuple[Any, str]:
    """The files that a data asset names, in a datastore or anywhere else."""
    if is_meant(path):
        return opened(addressed(Data(dataset=path), session).dataset)
    import fsspec

    found: tuple[Any, str] = fsspec.core.url_to_fs(path)
    return found


def _session(found: re.Match[str] | None) -> Session:
    """The workspace that the address names or, without one, that environment and config.json do."""
    from tasks.sections.workspace import Workspace
    from tasks.sign_in import address_of

    names = (
        dict(zip(("subscription_id", "resource_group", "workspace"), found.groups(), strict=False))
        if found
        else {}
    )
    if not names.get("workspace"):
        names = address_of(Workspace())
    return Session(**names, location="", tracking_uri="", resource_manager=clients.resource_manager())


def _path_of(session: Session, name: str, version: str) -> str:
    by = {"label": version.removeprefix("@")} if version.startswith("@") else {"version": version}
    try:
        asset = clients.workspace(session).data.get(name, **by)
    except Exception as error:
        if is_missing(error):
            raise Failure(
                f"The workspace {session.workspace} has no data asset {name} in version {version}.",
                f"Check it: az ml data list --name {name}.",
                str(error),
                cause=Cause.NOT_FOUND,
            ) from error
        raise
    if str(asset.type) == "mltable":
        raise Failure(
            f"The data asset {name} is a table that MLTable defines.",
            "Name its files instead: a data asset of the type uri_file or uri_folder, or a datastore's path.",
            cause=Cause.CONFIGURATION,
        )
    return str(asset.path)


def _store(session: Session, name: str, path: str) -> tuple[Any, str]:
    try:
        from tasks.data.account import Account
    except ImportError as error:
        raise Failure(
            "Reading a workspace's datastore needs the package adlfs.",
            "Install it beside this one: uv sync --extra azure.",
            cause=Cause.CONFIGURATION,
        ) from error
    resource = f"{session.workspace_id}/datastores/{name}"
    try:
        found = clients.read(session, resource, _VERSION)["properties"]
    except Exception as error:
        if is_missing(error):
            raise Failure(
                f"The workspace {session.workspace} has no datastore {name}.",
                "Check its name: az ml datastore list.",
                str(error),
                cause=Cause.NOT_FOUND,
            ) from error
        raise
    container = found.get(_BLOBS.get(str(found["datastoreType"]).lower(), ""))
    if not container:
        raise Failure(
            f"The datastore {name} is of the type {found['datastoreType']}, which is not read.",
            "Copy the data into a blob container or Data Lake Storage Gen2.",
            cause=Cause.CONFIGURATION,
        )
    host = f"{found['accountName']}.blob.{found['endpoint']}"
    fs = Account(found["accountName"], account_host=host, **_access(session, resource, found))
    return fs, f"{container}/{path}".rstrip("/")


def _access(session: Session, resource: str, found: dict[str, Any]) -> dict[str, Any]:
    """What opens the account: the datastore's secret or, where it keeps none, the identity signed in."""
    kind = str((found.get("credentials") or {}).get("credentialsType")).lower()
    if kind not in ("accountkey", "sas"):
        from tasks.data.account import Credential

        return {"credential": Credential(clients.credential(session.browser_login))}
    secrets = clients.post(session, f"{resource}/listSecrets", _VERSION)
    return {"account_key": secrets["key"]} if kind == "accountkey" else {"sas_token": secrets["sasToken"]}
