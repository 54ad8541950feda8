"""Registries: where each answers, what the first offers from the start, and those that are made beside it.

Recorded in 2022: PUT and DELETE answer 202 without a body, with two addresses to poll, of which one says a
status and how much is done; what a registry shows. Its accounts come back with names (seen); they lie here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast
from uuid import NAMESPACE_URL, uuid5

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import addresses, versions
from azureml_local.errors import BadRequest, Conflict, ServiceError
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER
from azureml_local.state.clock import iso
from azureml_local.state.document import Json, SystemData
from azureml_local.state.documents import REGISTRIES, assets
from azureml_local.state.transitions import CREATE_REGISTRY, DELETE_REGISTRY
from azureml_local.state.workspace import WorkspaceState
from azureml_local.state.workspace_documents import RegistryDocument
from azureml_local.wire import component_spec, fields, registry_request
from azureml_local.wire.arm import (
    GROUP,
    LOCATION,
    REGISTRY,
    SUBSCRIPTION,
    body,
    first_of,
    page,
    properties,
    resource,
    route,
    workspace_of,
)
from azureml_local.wire.operation import two_addresses


def seed(workspace: Workspace) -> None:
    """Put the shipped models and components into the first registry, each version once."""
    from azureml_local import catalogue, components

    for collection, offered in (
        ("models", catalogue.models(workspace.settings.scenario.as_of)),
        ("components", components.definitions()),
    ):
        kind = assets(collection, registry=True)
        for name, version, shipped in _as_kept(offered):
            known = workspace.store.get(kind, f"{name}/{version}")
            if known is None or not shipped.items() <= known["properties"].items():
                versions.put(workspace, kind, name, version, shipped)


def _as_kept(offered: Iterable[tuple[str, str, Json]]) -> Iterator[tuple[str, str, Json]]:
    for name, version, shipped in offered:
        if "componentSpec" in shipped:
            spec = component_spec.normalised(shipped["componentSpec"])
            shipped = {**shipped, "componentSpec": spec}
        yield name, version, shipped


def discover(request: Request) -> Response:
    """Where a registry answers; raises 403 for one that is not there."""
    name = request.path_params["name"]
    found = neighbours.registry(first_of(request), name)
    if found is None:
        raise ServiceError(
            403,
            "UserError",
            f"User/tenant/subscription is not allowed to access registry {name}",
            inner=("Auth", "Authorization", "UnAuthorizedRegistryAccess"),
        )
    settings = found.settings
    return JSONResponse(
        {
            "registryName": settings.registry,
            "registryId": settings.registry_arm_id,
            "tenantId": settings.tenant_id,
            "subscriptionId": settings.subscription_id,
            "resourceGroup": settings.resource_group,
            "primaryRegion": settings.location,
            "regions": [settings.location],
            "primaryRegionResourceProviderUri": settings.base_url + "/",
            "registryFqdns": {},
        }
    )


def get(request: Request) -> Response:
    """The registry itself."""
    return JSONResponse(_shown(first_of(request), workspace_of(request)))


def list_all(request: Request) -> Response:
    """The registries of the group, or of the subscription."""
    first, group = first_of(request), request.path_params.get("group")
    found = [
        _shown(first, each)
        for each in (first, *first.registries.values())
        if group is None or group.casefold() == each.settings.resource_group.casefold()
    ]
    return page(request, found)


def put(request: Request) -> Response:
    """Make a registry, or change tags and properties of one."""
    first, group, name = first_of(request), request.path_params["group"], request.path_params["name"]
    registry_request.check_name(name)
    given, known = body(request), neighbours.registry(first, name)
    if known is first:
        raise Conflict(f"The registry {name} is everybody's: it cannot be changed.", code="UserError")
    if known and known.settings.resource_group.casefold() != group.casefold():
        raise Conflict(f"The registry name {name} is taken.", code="UserError")
    old = first.store.get(REGISTRIES, name)
    made: SystemData = {"createdAt": iso(first.clock.now()), "createdBy": "local user"}
    document: RegistryDocument = {
        "group": group,
        "name": name,
        "location": fields.text(given, "location") or first.settings.location,
        "tags": fields.texts(given, "tags"),
        "identity": fields.identity(given),
        "properties": registry_request.properties(properties(request), first.settings, group, name),
        "systemData": old["systemData"] if old else made,
    }
    with first.exchange:
        first.store.put(REGISTRIES, name, document)
        if known is None:
            neighbours.add_registry(first, document)
    operation = first.operations.begin(REGISTRIES, name, CREATE_REGISTRY)
    return two_addresses(request, operation, "registryOperationsStatus")


def delete(request: Request) -> Response:
    """Remove a registry with all that is in it; the first one stays."""
    first, found = first_of(request), workspace_of(request)
    if found is first:
        raise Conflict(f"The registry {found.settings.registry} is everybody's: it stays.", code="UserError")
    name = found.settings.registry
    operation = first.operations.begin(
        REGISTRIES, name, DELETE_REGISTRY, work=lambda: neighbours.remove_registry(first, name)
    )
    return two_addresses(request, operation, "registryOperationsStatus")


def status(request: Request) -> Response:
    """How far a registry is."""
    operation = first_of(request).operations.get(request.path_params["operation"])
    is_running = operation["status"] == "InProgress"
    if request.query_params.get("type") == "location":
        return Response(status_code=202 if is_running else 204)
    answer: dict[str, Any] = {"status": operation["status"]}
    if not is_running:
        answer["percentComplete"] = 100.0
    if operation["error"]:
        answer["error"] = operation["error"]
    return JSONResponse(answer)


def refer(request: Request) -> Response:
    """A signature that opens an asset's files for reading; a model of the registry's own is made first."""
    workspace = workspace_of(request)
    asset_id = fields.text(body(request), "assetId") or ""
    if not asset_id.lower().startswith(f"azureml://registries/{workspace.settings.registry.lower()}/"):
        raise fields.refused("assetId", f"it must be an asset of the registry {workspace.settings.registry}")
    try:
        addresses.resolve(workspace, asset_id)
    except RuntimeError as error:  # the catalogue's: the weights cannot be had
        raise BadRequest(str(error), code="ModelDownloadFailed", target="assetId") from error
    uri = addresses.stored_uri(workspace, asset_id)
    # The whole account's address where Azure has a container's: see blob.account.
    sas = workspace.tokens.sas(addresses.container(workspace, uri), permissions="rl")
    return JSONResponse(
        {
            "blobReferenceForConsumption": {
                "blobUri": uri,
                "storageAccountArmId": f"{workspace.settings.workspace_arm_id}/storage",
                "credential": {"credentialType": "SAS", "sasUri": f"{workspace.settings.blob_url}?{sas}"},
            }
        }
    )


def _shown(first: Workspace, found: WorkspaceState) -> Json:
    """A registry, with the properties that one was recorded to have.

    Of the first the accounts are left out: the weights come from elsewhere, and no client asks for them. So
    are the tags of a group, which the version of 2022 had and today's does not (OpenAPI 2024-04-01).
    """
    settings = found.settings
    document = first.store.get(REGISTRIES, settings.registry)
    managed = f"azureml-rg-{settings.registry}"
    if document is not None:
        managed += f"_{uuid5(NAMESPACE_URL, settings.registry_arm_id)}"
    region = {"location": settings.location, "acrDetails": [], "storageAccountDetails": []}
    usual: Json = {
        "publicNetworkAccess": "Enabled",
        "intellectualPropertyPublisher": None,
        "regionDetails": [region],
    }
    discovery = f"/registrymanagement/v1.0/registries/{settings.registry}/discovery"
    kept = dict(document["properties"]) if document else {}
    kept.pop("provisioningState", None)
    fixed = {
        "managedResourceGroup": {
            "resourceId": f"/subscriptions/{settings.subscription_id}/resourceGroups/{managed}"
        },
        "discoveryUrl": settings.base_url + discovery,
        "mlFlowRegistryUri": (f"azureml://localhost:{settings.port}/mlflow/v1.0{settings.registry_arm_id}"),
    }
    return resource(
        settings.registry_arm_id,
        "registries",
        {**usual, **kept, **fixed},
        location=settings.location,
        tags=document["tags"] if document else {},
        systemData=None,
        **({"identity": cast(Any, document["identity"])} if document and document["identity"] else {}),
    )


_LISTS = (GROUP + f"/providers/{PROVIDER}/registries", SUBSCRIPTION + f"/providers/{PROVIDER}/registries")
routes = [
    route("/registrymanagement/v1.0/registries/{name}/discovery", GET=discover),
    route(REGISTRY, GET=get, DELETE=delete),
    # Under a name of its own: the registry of a PUT need not be there.
    route(_LISTS[0] + "/{name}", PUT=put),
    *(route(path, GET=list_all) for path in _LISTS),
    route(LOCATION + "/registryOperationsStatus/{operation}", GET=status),
    route(REGISTRY + "/datarefs/{name}/versions/{version}", POST=refer),
]
