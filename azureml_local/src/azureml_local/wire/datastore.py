"""Datastores: names for places in storage accounts, and the signatures that open those that lie here.

Recorded in 2022 and 2025: the four that every workspace begins with, and what is answered of a share and of a
file system. Only blob containers lie here: nothing can be read from the others.
"""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import CONTAINERS, DEFAULT_DATASTORE, SHARES
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import DATASTORES, DatastoreDocument, DatastoreProperties
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
from azureml_local.wire.fields import record, refused, text, texts

_OWN = frozenset({*CONTAINERS, *SHARES})
# What a place in an account of somebody's is named by, by type; the answers have these keys.
_ELSEWHERE = {
    "azurefile": ("AzureFile", "fileShareName"),
    "azuredatalakegen2": ("AzureDataLakeGen2", "filesystem"),
}
_PAGE = 30  # as documented (OpenAPI 2024-04-01): how many a list has where `count` does not say


def seed(workspace: Workspace) -> None:
    """Make the datastores that every workspace begins with."""
    for name, container in CONTAINERS.items():
        workspace.blobs.create_container(container)
        _begin_with(workspace, name, {"containerName": container, "datastoreType": "AzureBlob"})
    for name, share in SHARES.items():
        keyless = workspace.settings.scenario.storage == "identity"
        kind: DatastoreProperties = {
            "datastoreType": "AzureFile",
            "credentialsType": "None" if keyless else "AccountKey",
            "fileShareName": share,
            "accountName": workspace.settings.account,
            "endpoint": workspace.settings.storage_suffix,
            "protocol": "https",
        }
        _begin_with(workspace, name, kind)


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
    """Register a blob container, made here when there is none of that name, or a place elsewhere by name."""
    workspace, name, given = workspace_of(request), request.path_params["name"], properties(request)
    if name in _OWN:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be changed.")
    kind = (text(given, "datastoreType") or "").casefold()
    kept = _elsewhere(given, *_ELSEWHERE[kind]) if kind in _ELSEWHERE else _blobs(workspace, given)
    kept["description"] = text(given, "description")
    kept["properties"] = texts(given, "properties") or None
    kept["tags"] = texts(given, "tags") or texts(body(request), "tags")
    is_new = workspace.store.get(DATASTORES, name) is None
    document = workspace.store.put(DATASTORES, name, _document(workspace, kept))
    shown = _resource(workspace, name, document)
    return created(request, shown) if is_new else JSONResponse(shown)


def delete(request: Request) -> Response:
    """Forget the datastore; its blobs stay."""
    name = request.path_params["name"]
    if name in _OWN:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be deleted.")
    deleted = workspace_of(request).store.delete(DATASTORES, name)
    return Response(status_code=200 if deleted else 204)


def list_secrets(request: Request) -> Response:
    """A signature that opens the datastore's container for an hour; none where it takes no keys (seen)."""
    workspace, given = workspace_of(request), _existing(request)["properties"]
    if _credentials(workspace, given) == "None":
        raise BadRequest("No secrets for credentials of type None.", code="UserError")
    container = given.get("containerName")
    if container is None:
        raise BadRequest("Of accounts that are not here this workspace keeps no secrets.", code="UserError")
    # Of the workspace's own the SDK takes it for the account's: with it a code asset's own container is read.
    is_own, tokens = request.path_params["name"] in _OWN, workspace.tokens
    token = tokens.account_sas() if is_own else tokens.sas(container)
    return JSONResponse({"secretsType": "Sas", "sasToken": token})


def _existing(request: Request) -> DatastoreDocument:
    name = request.path_params["name"]
    document = workspace_of(request).store.get(DATASTORES, name)
    if document is None:
        raise NotFound(f"Could not find datastore: {name}", code="UserError", inner=("NotFound",))
    return document


def _begin_with(workspace: Workspace, name: str, given: DatastoreProperties) -> None:
    if workspace.store.get(DATASTORES, name) is None:
        workspace.store.create(DATASTORES, name, _document(workspace, given))


def _blobs(workspace: Workspace, given: Json) -> DatastoreProperties:
    if given.get("datastoreType") != "AzureBlob":
        raise refused(
            "datastoreType", "only AzureBlob is kept here, and AzureFile and AzureDataLakeGen2 by their names"
        )
    container = text(given, "containerName")
    if container is None:
        raise refused("containerName", "a blob datastore needs one")
    workspace.blobs.create_container(container)
    return {"datastoreType": "AzureBlob", "containerName": container}


def _elsewhere(given: Json, kind: str, place: str) -> DatastoreProperties:
    """A share or file system as its maker names it, without the secrets that open it."""
    named = {key: text(given, key) for key in (place, "accountName")}
    for key, value in named.items():
        if not value:
            raise refused(key, f"a datastore of type {kind} needs one")
    credentials = text(record(given, "credentials") or {}, "credentialsType")
    if credentials is None:
        raise refused("credentials.credentialsType", "say None where there are no credentials")
    kept: Json = {
        **named,
        "datastoreType": kind,
        "credentialsType": credentials,
        "endpoint": text(given, "endpoint"),
        "protocol": text(given, "protocol"),
    }
    return cast(DatastoreProperties, kept)


def _credentials(workspace: Workspace, given: DatastoreProperties) -> str:
    """The type of the credentials; a container's follow from what the account takes."""
    usual = "None" if workspace.settings.scenario.storage == "identity" else "Sas"
    return given.get("credentialsType", usual)


def _document(workspace: Workspace, given: DatastoreProperties) -> DatastoreDocument:
    return {"properties": given, "createdAt": iso(workspace.clock.now())}


def _resource(workspace: Workspace, name: str, document: DatastoreDocument) -> Json:
    """As recorded; secrets are never shown here, listSecrets has them."""
    given = document["properties"]
    kind = _credentials(workspace, given)
    shown: Json = {
        "datastoreType": given["datastoreType"],
        "description": given.get("description"),
        "tags": given.get("tags") or {},
        "properties": given.get("properties"),
        "isDefault": name == DEFAULT_DATASTORE,
        "credentials": {"credentialsType": kind},
        "serviceDataAccessAuthIdentity": "None",
    }
    if kind == "Sas":  # the SDK reads it, and cannot be without
        shown["credentials"]["secrets"] = {"secretsType": "Sas"}
    if name == DEFAULT_DATASTORE:
        shown["serviceDataAccessAuthIdentity"] = "WorkspaceSystemAssignedIdentity"
    if "containerName" in given:
        shown |= _container(workspace, given["containerName"])
    else:
        shown |= {key: value for key, value in given.items() if key not in ("credentialsType", *shown)}
    return resource(
        f"{workspace.settings.workspace_arm_id}/datastores/{name}",
        "workspaces/datastores",
        shown,
        systemData={"createdAt": document["createdAt"], "createdBy": "local user", "createdByType": "User"},
    )


def _container(workspace: Workspace, name: str) -> Json:
    settings = workspace.settings
    return {
        "accountName": settings.account,
        "containerName": name,
        "endpoint": settings.storage_suffix,
        "protocol": "https",
        "subscriptionId": settings.subscription_id,
        "resourceGroup": settings.resource_group,
    }


routes = [
    route(WORKSPACE + "/datastores", GET=list_all),
    route(WORKSPACE + "/datastores/{name}", GET=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/datastores/{name}/listSecrets", POST=list_secrets),
]
