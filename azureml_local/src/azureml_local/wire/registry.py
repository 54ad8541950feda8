"""The registry: where it answers, and what it offers from the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import addresses, versions
from azureml_local.errors import BadRequest, ServiceError
from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.documents import assets
from azureml_local.wire import component_spec, fields
from azureml_local.wire.arm import REGISTRY, body, resource, route, workspace_of


def seed(workspace: Workspace) -> None:
    """Put the shipped models and components into the registry, each version once."""
    from azureml_local import catalogue, components

    for collection, offered in (
        ("models", catalogue.models(workspace.settings.scenario.as_of)),
        ("components", components.definitions()),
    ):
        kind = assets(collection, registry=True)
        for name, version, properties in _as_kept(offered):
            known = workspace.store.get(kind, f"{name}/{version}")
            if known is None or not properties.items() <= known["properties"].items():
                versions.put(workspace, kind, name, version, properties)


def _as_kept(offered: Iterable[tuple[str, str, Json]]) -> Iterator[tuple[str, str, Json]]:
    for name, version, properties in offered:
        if "componentSpec" in properties:
            spec = component_spec.normalised(properties["componentSpec"])
            properties = {**properties, "componentSpec": spec}
        yield name, version, properties


def discover(request: Request) -> Response:
    """Where a registry answers; raises 403 for others than the one there is."""
    settings = workspace_of(request).settings
    name = request.path_params["name"]
    if name.casefold() != settings.registry.casefold():
        raise ServiceError(
            403,
            "UserError",
            f"User/tenant/subscription is not allowed to access registry {name}",
            inner=("Auth", "Authorization", "UnAuthorizedRegistryAccess"),
        )
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
    """The registry itself, with the properties that one was recorded to have.

    Its accounts are left out: the weights come from elsewhere, and no client asks for them. So are the tags
    of its group, which the version of 2022 had and today's does not (OpenAPI 2024-04-01).
    """
    settings = workspace_of(request).settings
    discovery = f"/registrymanagement/v1.0/registries/{settings.registry}/discovery"
    managed = f"/subscriptions/{settings.subscription_id}/resourceGroups/azureml-rg-{settings.registry}"
    return JSONResponse(
        resource(
            settings.registry_arm_id,
            "registries",
            {
                "publicNetworkAccess": "Enabled",
                "intellectualPropertyPublisher": None,
                "managedResourceGroup": {"resourceId": managed},
                "discoveryUrl": settings.base_url + discovery,
                "mlFlowRegistryUri": f"azureml://localhost:{settings.port}/mlflow/v1.0{settings.registry_arm_id}",
                "regionDetails": [
                    {"location": settings.location, "acrDetails": [], "storageAccountDetails": []}
                ],
            },
            location=settings.location,
            tags={},
            systemData=None,
        )
    )


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


routes = [
    route("/registrymanagement/v1.0/registries/{name}/discovery", GET=discover),
    route(REGISTRY, GET=get),
    route(REGISTRY + "/datarefs/{name}/versions/{version}", POST=refer),
]
