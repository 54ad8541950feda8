"""Workspaces: read, listed, made, changed and deleted, and where their other services answer.

Recorded in 2022: a workspace that is gone or was never there is Resource Manager's own 404; a deletion is
202 without a body, with two addresses to poll. Documented (OpenAPI 2024-04-01): PUT and PATCH answer 200 with
the workspace. The SDK makes workspaces by a template instead (wire/template.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import Conflict
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import DEPENDENT, WORKSPACES
from azureml_local.state.transitions import DELETE_WORKSPACE
from azureml_local.state.workspace_documents import WorkspaceDocument
from azureml_local.wire import datastore, fields, workspace_request
from azureml_local.wire.arm import (
    GROUP,
    LOCATION,
    SUBSCRIPTION,
    WORKSPACE,
    body,
    first_of,
    page,
    properties,
    resource,
    route,
    workspace_of,
)
from azureml_local.wire.operation import two_addresses

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
_ACCOUNT_LENGTH = 24  # of a storage account's name


def get(request: Request) -> Response:
    """The workspace."""
    return JSONResponse(shown(workspace_of(request)))


def list_all(request: Request) -> Response:
    """The workspaces of the group, or of the subscription; of the kinds that the query names."""
    kinds, group = request.query_params.get("kind", "").casefold(), request.path_params.get("group")
    found = [
        shown(each)
        for each in neighbours.everyone(first_of(request))
        if group is None or group.casefold() == each.settings.resource_group.casefold()
    ]
    return page(request, found if not kinds or "default" in kinds.split(",") else [])


def put(request: Request) -> Response:
    """Make a workspace, or change the one of that name."""
    group, name, given = request.path_params["group"], request.path_params["name"], body(request)
    workspace_request.check_kind(fields.text(given, "kind"))
    found = neighbours.find(first_of(request), group, name)
    if found is None:
        found = make(request, group, name, given)
    else:
        _change(request, found)
    return JSONResponse(shown(found))


def make(request: Request, group: str, name: str, given: Json) -> Workspace:
    """A new workspace beside the first, with what every workspace begins with."""
    first = first_of(request)
    workspace_request.check_name(name)
    storage = fields.text(given, "storage") or ("".join(filter(str.isalnum, name.lower())) + uuid4().hex)
    document: WorkspaceDocument = {
        "group": group,
        "name": name,
        "storage": storage.lower()[:_ACCOUNT_LENGTH],
        "location": fields.text(given, "location") or first.settings.location,
        "tags": fields.texts(given, "tags"),
        "identity": fields.identity(given),
        "properties": workspace_request.properties(fields.record(given, "properties") or {}),
        "systemData": {"createdAt": iso(first.clock.now()), "createdBy": "local user"},
    }
    with first.exchange:
        first.store.create(WORKSPACES, neighbours.key(group, name), document)
        made = neighbours.add(first, document)
        datastore.seed(made)
    for arm_id in dependent(made):
        first.store.put(DEPENDENT, arm_id, {"location": document["location"]})
    made.start()
    return made


def patch(request: Request) -> Response:
    """Change tags, identity and properties of the workspace."""
    workspace = workspace_of(request)
    _change(request, workspace)
    return JSONResponse(shown(workspace))


def delete(request: Request) -> Response:
    """Remove a workspace with all that is in it; the first one is there as long as the server is."""
    return removed(request, workspace_of(request))


def removed(request: Request, workspace: Workspace) -> Response:
    """202 of a workspace that is being removed; raises Conflict for the first."""
    first, settings = first_of(request), workspace.settings
    if workspace is first:
        raise Conflict(
            f"The workspace {settings.workspace} is the one that this server began with: it ends with its "
            "state directory.",
            code="UserError",
        )
    group, name = settings.resource_group, settings.workspace
    operation = first.operations.begin(
        WORKSPACES,
        neighbours.key(group, name),
        DELETE_WORKSPACE,
        work=lambda: neighbours.remove(first, group, name),
    )
    return two_addresses(request, operation, "workspaceOperationsStatus")


def status(request: Request) -> Response:
    """How far the removal of a workspace is: a status alone (seen); by Location 202, then 204."""
    operation = workspace_of(request).operations.get(request.path_params["operation"])
    if request.query_params.get("type") == "location":
        return Response(status_code=202 if operation["status"] == "InProgress" else 204)
    answer: dict[str, Any] = {"status": operation["status"]}
    if operation["error"]:
        answer["error"] = operation["error"]
    return JSONResponse(answer)


def keys(request: Request) -> Response:
    """No account key exists: the storage account is reached with signatures of its datastores alone."""
    settings = workspace_of(request).settings
    return JSONResponse(
        {
            "userStorageKey": None,
            "userStorageResourceId": settings.storage_account_arm_id,
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


def _change(request: Request, workspace: Workspace) -> None:
    first, settings, given = first_of(request), workspace.settings, body(request)
    kept = workspace_request.properties(properties(request) if "properties" in given else {})
    if kept.pop("systemDatastoresAuthMode", _auth_mode(workspace)) != _auth_mode(workspace):
        raise fields.refused("systemDatastoresAuthMode", "it is chosen when the workspace is made")
    key = neighbours.key(settings.resource_group, settings.workspace)
    with first.store.transaction():
        document = first.store.get(WORKSPACES, key) or _unchanged(workspace)
        document["properties"] = {**document["properties"], **kept}
        document["tags"] = fields.texts(given, "tags") if given.get("tags") is not None else document["tags"]
        document["identity"] = fields.identity(given) or document["identity"]
        first.store.put(WORKSPACES, key, document)


def _unchanged(workspace: Workspace) -> WorkspaceDocument:
    """What is known of the first workspace, of which nobody has changed anything."""
    settings = workspace.settings
    created = datetime.fromtimestamp(settings.secrets_path.stat().st_mtime, UTC).isoformat()
    return {
        "group": settings.resource_group,
        "name": settings.workspace,
        "storage": settings.storage,
        "location": settings.location,
        "tags": {},
        "identity": None,
        "properties": {"description": "A local workspace: jobs and endpoints run on this machine."},
        "systemData": {"createdAt": created, "createdBy": "azureml-local", "createdByType": "Application"},
    }


def shown(workspace: Workspace) -> Json:
    """The workspace as Resource Manager has it."""
    settings, first = workspace.settings, cast(Workspace, workspace.first or workspace)
    key = neighbours.key(settings.resource_group, settings.workspace)
    document = first.store.get(WORKSPACES, key) or _unchanged(workspace)
    usual = {
        "friendlyName": settings.workspace,
        "description": None,
        "keyVault": _sibling(settings.workspace_arm_id, "Microsoft.KeyVault/vaults", settings.storage),
        "applicationInsights": _sibling(
            settings.workspace_arm_id, "Microsoft.Insights/components", settings.storage
        ),
        "containerRegistry": None,
        "hbiWorkspace": False,
        "publicNetworkAccess": "Enabled",
        "v1LegacyMode": False,
    }
    fixed = {
        "workspaceId": settings.guid,
        "discoveryUrl": f"{settings.base_url}/discovery",
        "mlFlowTrackingUri": settings.tracking_uri,
        "storageAccount": settings.storage_account_arm_id,
        "provisioningState": document["properties"].get("provisioningState", "Succeeded"),
        "creationTime": document["systemData"]["createdAt"],
        "tenantId": settings.tenant_id,
        "systemDatastoresAuthMode": _auth_mode(workspace),
    }
    return resource(
        settings.workspace_arm_id,
        "workspaces",
        {**usual, **document["properties"], **fixed},
        location=document["location"],
        kind="Default",
        sku={"name": "Basic", "tier": "Basic"},
        identity={
            "type": "SystemAssigned",
            **(document["identity"] or {}),
            "principalId": "00000000-0000-0000-0000-00000000000b",
            "tenantId": settings.tenant_id,
        },
        tags=document["tags"],
        systemData=document["systemData"],
    )


def dependent(workspace: Workspace) -> list[str]:
    """The ids of what the workspace is made of."""
    found = shown(workspace)["properties"]
    ids = (found[name] for name in ("storageAccount", "keyVault", "applicationInsights", "containerRegistry"))
    return [arm_id for arm_id in ids if arm_id]


def _sibling(workspace_arm_id: str, type_: str, name: str) -> str:
    """The id of something else in the workspace's group."""
    group_id = workspace_arm_id.split(f"/providers/{PROVIDER}")[0]
    return f"{group_id}/providers/{type_}/{name}"


def _auth_mode(workspace: Workspace) -> str:
    return "identity" if workspace.settings.scenario.storage == "identity" else "accessKey"


_LISTS = (GROUP + f"/providers/{PROVIDER}/workspaces", SUBSCRIPTION + f"/providers/{PROVIDER}/workspaces")
routes = [
    route(WORKSPACE, at_once=get, PATCH=patch, DELETE=delete),
    # Under a name of its own: the workspace of a PUT need not be there.
    route(_LISTS[0] + "/{name}", PUT=put),
    route(WORKSPACE + "/listKeys", POST=keys),
    *(
        route(f"{scope}/providers/Microsoft.Authorization/permissions", GET=permissions)
        for scope in (WORKSPACE, GROUP)
    ),
    *(route(path, GET=list_all) for path in _LISTS),
    route(LOCATION + "/workspaceOperationsStatus/{operation}", GET=status),
]
# The SDK asks these without a token.
open_routes = [
    route("/discovery", GET=discovery),
    route("/discovery/workspaces", GET=discovery),
]
