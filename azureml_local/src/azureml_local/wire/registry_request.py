"""The body of a request to make a registry, checked."""

from __future__ import annotations

import re
from typing import Any

from azureml_local.settings import Settings
from azureml_local.state.document import Json
from azureml_local.wire.fields import record, refused, text

_NAME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}")  # documented (OpenAPI 2024-04-01)
# The accounts of a region: the list, what the service makes, what this is called, and its type.
_ACCOUNTS = (
    ("acrDetails", "systemCreatedAcrAccount", "acrAccountName", "Microsoft.ContainerRegistry/registries"),
    (
        "storageAccountDetails",
        "systemCreatedStorageAccount",
        "storageAccountName",
        "Microsoft.Storage/storageAccounts",
    ),
)


def check_name(name: str) -> None:
    """Raise BadRequest unless it can be a registry's name."""
    if not _NAME.fullmatch(name):
        raise refused("name", "a registry has 3 to 33 letters, digits, '-' and '_', a letter or digit first")


def properties(given: Json, settings: Settings, group: str, name: str) -> Json:
    """What is kept of the properties, with the accounts that a service would have made."""
    regions = given.get("regionDetails")
    if not isinstance(regions, list) or not all(isinstance(each, dict) for each in regions):
        raise refused("regionDetails", "a registry needs a list of its regions")
    return {
        "publicNetworkAccess": text(given, "publicNetworkAccess") or "Enabled",
        "intellectualPropertyPublisher": text(given, "intellectualPropertyPublisher"),
        "regionDetails": [_region(each, settings, group, name) for each in regions],
    }


def _region(given: Json, settings: Settings, group: str, name: str) -> Json:
    location = text(given, "location")
    if not location:
        raise refused("regionDetails.location", "a region needs a location")
    shown: Json = {"location": location}
    for key, made, called, type_ in _ACCOUNTS:
        rows = given.get(key) or []
        if not isinstance(rows, list) or not all(isinstance(each, dict) for each in rows):
            raise refused(f"regionDetails.{key}", "it must be a list of objects")
        shown[key] = [_account(each, (made, called, type_), (settings, group, name)) for each in rows]
    return shown


def _account(given: Json, kind: tuple[str, str, str], where: tuple[Settings, str, str]) -> Json:
    """An account as it is shown; one that the service makes has the name that the registry's files have."""
    made, called, type_ = kind
    wanted: dict[str, Any] | None = record(given, made)
    if wanted is None:
        raise refused(made, "accounts of one's own are not kept here: leave it to the service")
    settings, group, registry = where
    account = "".join(filter(str.isalnum, registry.lower()))[:24]
    above = f"/subscriptions/{settings.subscription_id}/resourceGroups/{group}"
    return {
        made: {
            **wanted,
            called: account,
            "armResourceId": {"resourceId": f"{above}/providers/{type_}/{account}"},
        }
    }
