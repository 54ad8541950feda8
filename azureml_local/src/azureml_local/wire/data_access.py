"""What azureml-fsspec and mltable ask before they read `azureml://` addresses.

Datastores have the fields of azureml-core's client of the first API (DataStore, AzureStorageSection), data
versions those of azure-ai-ml's client of the data plane (DataVersionEntity).
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import NotFound
from azureml_local.state.documents import DATASTORES, assets
from azureml_local.state.places import container_of
from azureml_local.wire.arm import WORKSPACE, route, workspace_of

# As mltable compares them; the two others as run history has them (recorded).
_TYPES = {"mltable": "MLTable", "uri_file": "UriFile", "uri_folder": "UriFolder"}


def get_datastore(request: Request) -> Response:
    """A datastore with the signature that opens it.

    Of whatever type and account, it is shown as the container that stands for it here: these readers ask
    the account themselves, in their own code, which is not led here.
    """
    workspace, name = workspace_of(request), request.path_params["name"]
    document = workspace.store.get(DATASTORES, name)
    if document is None:
        raise NotFound(f"Datastore with name {name} is not found in this workspace.", code="UserError")
    settings, container = workspace.settings, container_of(document["properties"])
    keyless = settings.scenario.storage == "identity"
    return JSONResponse(
        {
            "name": name,
            "dataStoreType": "AzureBlob",
            "hasBeenValidated": True,
            "tags": {},
            "azureStorageSection": {
                "accountName": settings.account,
                "containerName": container,
                "endpoint": settings.storage_suffix,
                "protocol": "https",
                "credentialType": "None" if keyless else "Sas",
                "credential": None if keyless else workspace.tokens.sas(container),
                "isSas": not keyless,
                "blobCacheTimeout": None,
                "subscriptionId": settings.subscription_id,
                "resourceGroup": settings.resource_group,
                "areWorkspaceManagedIdentitiesAllowed": False,
            },
        }
    )


def get_version(request: Request) -> Response:
    """A version of a data asset, with where its data lies."""
    workspace, name, version = (
        workspace_of(request),
        request.path_params["name"],
        request.path_params["version"],
    )
    document = workspace.store.get(assets("data"), f"{name}/{version}")
    if document is None:
        raise NotFound(f"Data version {name}:{version} is not found in this workspace.", code="UserError")
    given = document["properties"]
    place = f"azureml://locations/{workspace.settings.location}/workspaces/{workspace.settings.guid}/data"
    return JSONResponse(
        {
            "dataVersion": {
                "assetId": f"{place}/{document['name']}/versions/{document['version']}",
                "dataContainerName": document["name"],
                "dataType": _TYPES.get(given["dataType"], given["dataType"]),
                "dataUri": given["dataUri"],
                "versionId": document["version"],
                "mutableProps": {
                    "description": given.get("description"),
                    "tags": given.get("tags") or {},
                    "isArchived": bool(given.get("isArchived", False)),
                },
                "referencedDataUris": given.get("referencedUris"),
                "properties": given.get("properties") or {},
                "isRegistered": True,
            },
            "isV2": True,  # mltable asks for it, and no client has it
            "entityMetadata": {
                "etag": None,
                "createdTime": document["systemData"]["createdAt"],
                "modifiedTime": document["systemData"].get("lastModifiedAt"),
            },
        }
    )


routes = [
    route("/datastore/v1.0" + WORKSPACE + "/datastores/{name}", GET=get_datastore),
    route("/data/v1.0" + WORKSPACE + "/dataversion/{name}/versions/{version}", GET=get_version),
]
