"""The workspace itself, and where its other services answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER, WORKSPACE_GUID
from azureml_local.wire.arm import GROUP, SUBSCRIPTION, WORKSPACE, page, resource, route, workspace_of

# What Azure's discovery names (recorded in 2023). Clients use two of them: api, and old ones history.
_SERVICES = (
    "api",
    "catalog",
    "experimentation",
    "gallery",
    "history",
    "hyperdrive",
    "labeling",
    "modelmanagement",
    "pipelines",
    "studio",
)


def get(request: Request) -> Response:
    """The workspace."""
    return JSONResponse(_workspace(workspace_of(request)))


def list_all(request: Request) -> Response:
    """The one workspace there is."""
    return page(request, [_workspace(workspace_of(request))])


def group(request: Request) -> Response:
    """The resource group, which clients ask for its location."""
    settings = workspace_of(request).settings
    path = f"/subscriptions/{settings.subscription_id}/resourceGroups/{settings.resource_group}"
    return JSONResponse(
        {
            "id": path,
            "name": settings.resource_group,
            "type": "Microsoft.Resources/resourceGroups",
            "location": settings.location,
            "properties": {"provisioningState": "Succeeded"},
        }
    )


def keys(request: Request) -> Response:
    """No account key exists: the storage account is reached with signatures of its datastores alone."""
    settings = workspace_of(request).settings
    return JSONResponse(
        {
            "userStorageKey": None,
            "userStorageResourceId": _storage_account(settings.workspace_arm_id),
            "appInsightsInstrumentationKey": None,
            "containerRegistryCredentials": None,
            "notebookAccessKeys": None,
        }
    )


def permissions(request: Request) -> Response:
    """What the caller may do at a scope, an entry a role (documented: Authorization, 2022-04-01)."""
    held = workspace_of(request).access.at(request.url.path.rsplit("/providers/", 1)[0])
    return JSONResponse(
        {
            "value": [
                {
                    "actions": list(role.actions),
                    "notActions": list(role.not_actions),
                    "dataActions": list(role.data_actions),
                    "notDataActions": list(role.not_data_actions),
                }
                for role in held
            ],
            "nextLink": None,
        }
    )


def discovery(request: Request) -> Response:
    """The addresses of the workspace's services."""
    return JSONResponse(dict.fromkeys(_SERVICES, workspace_of(request).settings.base_url))


def _workspace(workspace: Workspace) -> dict[str, Any]:
    settings = workspace.settings
    arm_id = settings.workspace_arm_id
    created = datetime.fromtimestamp(settings.secrets_path.stat().st_mtime, UTC).isoformat()
    return resource(
        arm_id,
        "workspaces",
        {
            "friendlyName": settings.workspace,
            "description": "A local workspace: jobs and endpoints run on this machine.",
            "workspaceId": WORKSPACE_GUID,
            "discoveryUrl": f"{settings.base_url}/discovery",
            "mlFlowTrackingUri": settings.tracking_uri,
            "storageAccount": _storage_account(arm_id),
            "keyVault": _sibling(arm_id, "Microsoft.KeyVault/vaults"),
            "applicationInsights": _sibling(arm_id, "Microsoft.Insights/components"),
            "containerRegistry": None,
            "hbiWorkspace": False,
            "publicNetworkAccess": "Disabled",
            "provisioningState": "Succeeded",
            "creationTime": created,
            "tenantId": settings.tenant_id,
            "v1LegacyMode": False,
            "systemDatastoresAuthMode": "identity"
            if settings.scenario.storage == "identity"
            else "accessKey",
        },
        location=settings.location,
        kind="Default",
        sku={"name": "Basic", "tier": "Basic"},
        identity={
            "type": "SystemAssigned",
            "principalId": "00000000-0000-0000-0000-00000000000b",
            "tenantId": settings.tenant_id,
        },
        tags={},
        systemData={"createdAt": created, "createdBy": "azureml-local", "createdByType": "Application"},
    )


def _storage_account(workspace_arm_id: str) -> str:
    return _sibling(workspace_arm_id, "Microsoft.Storage/storageAccounts")


def _sibling(workspace_arm_id: str, type_: str) -> str:
    group_id = workspace_arm_id.split(f"/providers/{PROVIDER}")[0]
    return f"{group_id}/providers/{type_}/local"


routes = [
    route(WORKSPACE, GET=get),
    route(WORKSPACE + "/listKeys", POST=keys),
    *(
        route(f"{scope}/providers/Microsoft.Authorization/permissions", GET=permissions)
        for scope in (WORKSPACE, GROUP)
    ),
    route(GROUP, GET=group),
    route(GROUP + f"/providers/{PROVIDER}/workspaces", GET=list_all),
    route(SUBSCRIPTION + f"/providers/{PROVIDER}/workspaces", GET=list_all),
]
# The SDK asks these without a token.
open_routes = [
    route("/discovery", GET=discovery),
    route("/discovery/workspaces", GET=discovery),
]
