"""Datastores: names for places in storage accounts, and what opens them.

Recorded in 2022 and 2025: the four that every workspace begins with, and what is answered of a share and of a
file system. The files of all of them lie here, whatever account is named: see state/places.py.
"""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import CONTAINERS, DEFAULT_DATASTORE, SHARES
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import DATASTORES, DatastoreDocument, DatastoreProperties
from azureml_local.state.places import account_of, container_of, is_own
from azureml_local.wire import datastore_request
from azureml_local.wire.arm import (
    WORKSPACE,
    body,
    created,
    flag,
    integer,
    page,
    properties,
    resource,
    route,
    workspace_of,
)
from azureml_local.wire.fields import texts

_OWN = frozenset({*CONTAINERS, *SHARES})
# What an answer says of the place in the account, by the type.
_PLACES: tuple[Literal["containerName", "fileShareName", "filesystem"], ...] = (
    "containerName",
    "fileShareName",
    "filesystem",
)
_PAGE = 30  # as documented (OpenAPI 2024-04-01): how many a list has where `count` does not say


def seed(workspace: Workspace) -> None:
    """Make the datastores that every workspace begins with, and what holds the files of each."""
    for name, container in CONTAINERS.items():
        _begin_with(workspace, name, {"containerName": container, "datastoreType": "AzureBlob"})
    for name, share in SHARES.items():
        own = share + workspace.settings.guid
        _begin_with(workspace, name, {"fileShareName": own, "datastoreType": "AzureFile"})
    for _, document in workspace.store.list(DATASTORES):
        workspace.blobs.create_container(container_of(document["properties"]))


def get(request: Request) -> Response:
    """One datastore."""
    name = request.path_params["name"]
    return JSONResponse(_resource(workspace_of(request), name, _existing(request)))


def list_all(request: Request) -> Response:
    """All datastores, those named, or the default one; the newest first unless the query says otherwise."""
    workspace = workspace_of(request)
    only_default = flag(request, "isDefault")
    names = [name.casefold() for name in request.query_params.getlist("names")]
    found = [
        (document["createdAt"], name, document)
        for name, document in workspace.store.list(DATASTORES)
        if (not only_default or name == DEFAULT_DATASTORE) and (not names or name.casefold() in names)
    ]
    found.sort(key=lambda each: each[0], reverse=not flag(request, "orderByAsc"))
    size = max(integer(request, "count", _PAGE), 1)
    return page(request, found, size=size, show=lambda each: _resource(workspace, each[1], each[2]))


def put(request: Request) -> Response:
    """Register a place in an account, which is made here when there is none of that name."""
    workspace, name = workspace_of(request), request.path_params["name"]
    if name in _OWN:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be changed.")
    kept, secrets = datastore_request.read(properties(request), texts(body(request), "tags"))
    known = workspace.store.get(DATASTORES, name)
    if not secrets and known and known["properties"].get("credentialsType") == kept.get("credentialsType"):
        secrets = known.get("secrets", {})  # whoever changes what was answered has none to send: assumed
    workspace.blobs.create_container(container_of(kept))
    document = _document(workspace, kept)
    document["secrets"] = secrets
    workspace.store.put(DATASTORES, name, document)
    shown = _resource(workspace, name, document)
    return JSONResponse(shown) if known else created(request, shown)


def delete(request: Request) -> Response:
    """Forget the datastore; its blobs stay."""
    name = request.path_params["name"]
    if name in _OWN:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be deleted.")
    deleted = workspace_of(request).store.delete(DATASTORES, name)
    return Response(status_code=200 if deleted else 204)


def list_secrets(request: Request) -> Response:
    """What opens the datastore's place; nothing where it takes no keys (seen).

    Of an account's key a signature is made for who asks for one that expires, as azure-ai-ml does, which has
    read it so since its change #35716 (documented there); of the own account there are no keys at all.
    """
    workspace, name, document = workspace_of(request), request.path_params["name"], _existing(request)
    given, tokens = document["properties"], workspace.tokens
    kind, container = _credentials_type(workspace, given), container_of(given)
    if kind == "None":
        raise BadRequest("No secrets for credentials of type None.", code="UserError")
    if is_own(given.get("accountName")):
        # The SDK takes that of the workspace's own for the account's: with it, it reads containers of code.
        token = tokens.account_sas() if name in _OWN else tokens.sas(container)
        return JSONResponse({"secretsType": "Sas", "sasToken": token})
    if kind == "AccountKey" and body(request).get("expirableSecret"):
        return JSONResponse({"secretsType": "Sas", "sasToken": tokens.account_sas(account_of(container))})
    return JSONResponse({"secretsType": kind, **document.get("secrets", {})})


def _existing(request: Request) -> DatastoreDocument:
    name = request.path_params["name"]
    document = workspace_of(request).store.get(DATASTORES, name)
    if document is None:
        raise NotFound(f"Could not find datastore: {name}", code="UserError", inner=("NotFound",))
    return document


def _begin_with(workspace: Workspace, name: str, given: DatastoreProperties) -> None:
    if workspace.store.get(DATASTORES, name) is None:
        workspace.store.create(DATASTORES, name, _document(workspace, given))


def _credentials_type(workspace: Workspace, given: DatastoreProperties) -> str:
    """The type of the credentials; those of the own account follow from what it takes."""
    if not is_own(given.get("accountName")):
        return given["credentialsType"]
    if workspace.settings.scenario.storage == "identity":
        return "None"
    return "AccountKey" if "fileShareName" in given else "Sas"


def _document(workspace: Workspace, given: DatastoreProperties) -> DatastoreDocument:
    return {"properties": given, "createdAt": iso(workspace.clock.now())}


def _resource(workspace: Workspace, name: str, document: DatastoreDocument) -> Json:
    """As recorded; secrets are never shown here, listSecrets has them."""
    given, settings = document["properties"], workspace.settings
    kind = _credentials_type(workspace, given)
    place = next(key for key in _PLACES if key in given)
    shown: Json = {
        "datastoreType": given["datastoreType"],
        "description": given.get("description"),
        "tags": given.get("tags") or {},
        "properties": given.get("properties"),
        "isDefault": name == DEFAULT_DATASTORE,
        "credentials": {"credentialsType": kind, **given.get("credentials", {})},
        "serviceDataAccessAuthIdentity": "None",
        place: given[place],
        "accountName": given.get("accountName"),
        "endpoint": given.get("endpoint") or settings.storage_suffix,
        "protocol": given.get("protocol") or "https",
    }
    if kind == "Sas":  # the SDK reads it, and older ones cannot be without
        shown["credentials"]["secrets"] = {"secretsType": "Sas"}
    if name == DEFAULT_DATASTORE:
        shown["serviceDataAccessAuthIdentity"] = "WorkspaceSystemAssignedIdentity"
    if is_own(given.get("accountName")):
        shown["accountName"] = settings.account
        if place == "containerName":
            shown |= {"subscriptionId": settings.subscription_id, "resourceGroup": settings.resource_group}
    return resource(
        f"{settings.workspace_arm_id}/datastores/{name}",
        "workspaces/datastores",
        shown,
        systemData={"createdAt": document["createdAt"], "createdBy": "local user", "createdByType": "User"},
    )


routes = [
    route(WORKSPACE + "/datastores", GET=list_all),
    route(WORKSPACE + "/datastores/{name}", at_once=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/datastores/{name}/listSecrets", POST=list_secrets),
]
