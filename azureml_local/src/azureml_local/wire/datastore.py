"""Datastores: names for containers, and the signatures that open them."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import CONTAINERS, DEFAULT_DATASTORE
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import DATASTORES, DatastoreDocument, DatastoreProperties
from azureml_local.wire.arm import WORKSPACE, body, flag, page, properties, resource, route, workspace_of
from azureml_local.wire.fields import text, texts


def seed(workspace: Workspace) -> None:
    """Make the two datastores that every workspace begins with."""
    for name, container in CONTAINERS.items():
        workspace.blobs.create_container(container)
        if workspace.store.get(DATASTORES, name) is None:
            workspace.store.create(
                DATASTORES,
                name,
                _document(workspace, {"containerName": container, "datastoreType": "AzureBlob"}),
            )


def get(request: Request) -> Response:
    """One datastore."""
    name = request.path_params["name"]
    return JSONResponse(_resource(workspace_of(request), name, _existing(request)))


def list_all(request: Request) -> Response:
    """All datastores, or the default one."""
    workspace = workspace_of(request)
    only_default = flag(request, "isDefault")
    found = [
        _resource(workspace, name, document)
        for name, document in workspace.store.list(DATASTORES)
        if not only_default or name == DEFAULT_DATASTORE
    ]
    return page(request, found)


def put(request: Request) -> Response:
    """Register a blob container, made here when there is none of that name."""
    workspace, name, given = workspace_of(request), request.path_params["name"], properties(request)
    if given.get("datastoreType") != "AzureBlob":
        raise BadRequest("Only datastores of type AzureBlob can be kept here.", target="datastoreType")
    if name in CONTAINERS:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be changed.")
    if not isinstance(given.get("containerName"), str):
        raise BadRequest("A blob datastore needs a 'containerName'.", target="containerName")
    workspace.blobs.create_container(given["containerName"])
    created = workspace.store.get(DATASTORES, name) is None
    kept: DatastoreProperties = {
        "containerName": given["containerName"],
        "datastoreType": given["datastoreType"],
        "description": text(given, "description"),
        "properties": texts(given, "properties"),
        "tags": texts(given, "tags") or texts(body(request), "tags"),
    }
    document = workspace.store.put(DATASTORES, name, _document(workspace, kept))
    return JSONResponse(_resource(workspace, name, document), 201 if created else 200)


def delete(request: Request) -> Response:
    """Forget the datastore; its blobs stay."""
    name = request.path_params["name"]
    if name in CONTAINERS:
        raise Conflict(f"The datastore {name} belongs to the workspace and cannot be deleted.")
    deleted = workspace_of(request).store.delete(DATASTORES, name)
    return Response(status_code=200 if deleted else 204)


def list_secrets(request: Request) -> Response:
    """A signature that opens the datastore's container for an hour; none where it takes no keys (seen)."""
    container = _existing(request)["properties"]["containerName"]
    if workspace_of(request).settings.scenario.storage == "identity":
        raise BadRequest("No secrets for credentials of type None.", code="UserError")
    return JSONResponse({"secretsType": "Sas", "sasToken": workspace_of(request).tokens.sas(container)})


def _existing(request: Request) -> DatastoreDocument:
    name = request.path_params["name"]
    document = workspace_of(request).store.get(DATASTORES, name)
    if document is None:
        raise NotFound(f"Could not find datastore: {name}", code="UserError", inner=("NotFound",))
    return document


def _document(workspace: Workspace, given: DatastoreProperties) -> DatastoreDocument:
    return {"properties": given, "createdAt": iso(workspace.clock.now())}


def _resource(workspace: Workspace, name: str, document: DatastoreDocument) -> Json:
    given = document["properties"]
    # Secrets are never shown here; listSecrets has them. Seen: None, where the account takes no keys.
    signed: Json = {"credentialsType": "Sas", "secrets": {"secretsType": "Sas"}}
    keyless = workspace.settings.scenario.storage == "identity"
    return resource(
        f"{workspace.settings.workspace_arm_id}/datastores/{name}",
        "workspaces/datastores",
        {
            "datastoreType": given["datastoreType"],
            "description": given.get("description"),
            "tags": given.get("tags") or {},
            "properties": given.get("properties") or {},
            "isDefault": name == DEFAULT_DATASTORE,
            "credentials": {"credentialsType": "None"} if keyless else signed,
            "accountName": workspace.settings.account,
            "containerName": given["containerName"],
            "endpoint": workspace.settings.storage_suffix,
            "protocol": "https",
            "serviceDataAccessAuthIdentity": "None",
            "subscriptionId": workspace.settings.subscription_id,
            "resourceGroup": workspace.settings.resource_group,
        },
        systemData={"createdAt": document["createdAt"], "createdBy": "local user", "createdByType": "User"},
    )


routes = [
    route(WORKSPACE + "/datastores", GET=list_all),
    route(WORKSPACE + "/datastores/{name}", GET=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/datastores/{name}/listSecrets", POST=list_secrets),
]
