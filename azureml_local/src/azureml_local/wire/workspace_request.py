"""What a request says of a workspace, checked: by its own PUT or PATCH, or by the SDK's template."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.wire.fields import record, refused, text, texts

_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}")  # documented (OpenAPI 2024-04-01)
_GROUP = re.compile(r"[\w().-]{0,89}[\w()-]")  # documented: naming rules of Azure's resources
# Properties that are kept as they come, and shown; nothing here acts by them.
_KEPT = (
    "description",
    "friendlyName",
    "applicationInsights",
    "containerRegistry",
    "keyVault",
    "hbiWorkspace",
    "imageBuildCompute",
    "primaryUserAssignedIdentity",
    "publicNetworkAccess",
    "allowRoleAssignmentOnRG",
    "enableDataIsolation",
    "networkAcls",
    "provisionNetworkNow",
    "serverlessComputeSettings",
    "v1LegacyMode",
)
# These are looked at, or are the service's own, which whoever sends back what was answered sends too.
_KNOWN = frozenset(
    {
        *_KEPT,
        "managedNetwork",
        "systemDatastoresAuthMode",
        "hubResourceId",
        "featureStoreSettings",
        "encryption",
        "workspaceId",
        "discoveryUrl",
        "mlFlowTrackingUri",
        "storageAccount",
        "provisioningState",
        "creationTime",
        "tenantId",
    }
)
# Names of the SDK's template for what the properties are called.
_PARAMETERS = {
    "friendlyName": "friendlyName",
    "description": "description",
    "publicNetworkAccess": "publicNetworkAccess",
    "imageBuildCompute": "imageBuildCompute",
    "managedNetwork": "managedNetwork",
    "primaryUserAssignedIdentity": "primaryUserAssignedIdentity",
    "systemDatastoresAuthMode": "systemDatastoresAuthMode",
}
_DEPENDENT = {
    "keyVault": "Microsoft.KeyVault/vaults",
    "applicationInsights": "Microsoft.Insights/components",
    "containerRegistry": "Microsoft.ContainerRegistry/registries",
}
_MODES = {"identity": "identity", "accesskey": "accessKey", "userdelegationsas": "userDelegationSas"}


def check_name(name: str) -> None:
    """Raise BadRequest unless it can be a workspace's name."""
    if not _NAME.fullmatch(name):
        raise refused("name", "a workspace has 3 to 33 letters, digits, '-' and '_', a letter or digit first")


def check_group(name: str) -> None:
    """Raise BadRequest unless it can be a resource group's name."""
    if not _GROUP.fullmatch(name):
        raise refused(
            "name", "a resource group has 1 to 90 letters, digits and '_', '-', '.', '()', no '.' at its end"
        )


def properties(given: Json) -> Json:
    """The properties that are kept of those given; raises BadRequest for what no workspace here has."""
    network = record(given, "managedNetwork") or {}
    if (text(network, "isolationMode") or "Disabled") != "Disabled":
        raise refused("managedNetwork", "there is no managed network here")
    for name in ("hubResourceId", "featureStoreSettings", "encryption"):
        if given.get(name):
            raise refused(name, "hubs, feature stores and keys of one's own are not kept here")
    unknown = [name for name in given if given[name] is not None and name not in _KNOWN]
    if unknown:
        raise refused(unknown[0], "a workspace here has no such property")
    kept = {name: given[name] for name in _KEPT if given.get(name) is not None}
    for name in ("description", "friendlyName", "publicNetworkAccess", "imageBuildCompute"):
        text(kept, name)
    if mode := text(given, "systemDatastoresAuthMode"):
        if mode.casefold() not in _MODES:
            raise refused("systemDatastoresAuthMode", "it must be accessKey or identity")
        kept["systemDatastoresAuthMode"] = _MODES[mode.casefold()]
    return kept


def check_kind(kind: str | None) -> None:
    """Raise BadRequest for a hub, a project or a feature store."""
    if (kind or "default").casefold() != "default":
        raise BadRequest(
            f"A workspace of the kind {kind} is not made here: only those of the kind Default are.",
            code="UserError",
            inner=("BadArgument", "NotSupported"),
        )


def of_template(parameters: Json, subscription: str) -> Json:
    """What the parameters of azure-ai-ml's template say, in the shape of a workspace's own request.

    The template itself is not evaluated: of another one the parameters mean who knows what.
    """
    given = {name: _value(parameters, name) for name in parameters}
    name = given.get("workspaceName")
    if not isinstance(name, str) or not name:
        raise BadRequest(
            "Only azure-ai-ml's own template, with the parameter workspaceName, is deployed here.",
            code="InvalidTemplateDeployment",
        )
    check_kind(text(given, "kind"))
    if given.get("storageAccountOption") not in (None, "new"):
        raise refused("storageAccountOption", "each workspace has a storage account of its own here")
    found = {key: given[parameter] for key, parameter in _PARAMETERS.items() if given.get(parameter)}
    return {
        "name": name,
        "location": text(given, "location"),
        "tags": texts(given, "tagValues"),
        "identity": record(given, "identity") or None,
        "storage": text(given, "storageAccountName"),
        "logAnalytics": text(given, "logAnalyticsArmId") or None,
        "properties": {
            **found,
            **dict(_dependent(given, subscription)),
            "hbiWorkspace": given.get("confidential_data") == "true",
        },
    }


def _dependent(given: Json, subscription: str) -> Iterator[tuple[str, str]]:
    """The ids of what the workspace is made of, new or there before."""
    for name, type_ in _DEPENDENT.items():
        called, group = text(given, f"{name}Name"), text(given, f"{name}ResourceGroupName")
        if called and group and given.get(f"{name}Option") != "none":
            yield name, f"/subscriptions/{subscription}/resourceGroups/{group}/providers/{type_}/{called}"


def _value(parameters: Json, name: str) -> Any:
    return (record(parameters, name) or {}).get("value")
