"""The body of a request to make a datastore, checked: its place, and what opens that."""

from __future__ import annotations

import re
from typing import cast

from azureml_local.state.document import Json
from azureml_local.state.documents import DatastoreProperties
from azureml_local.state.places import is_own
from azureml_local.wire.fields import record, refused, text, texts

# What the place in an account is called, by the type in lower case; the answers have these keys.
_PLACES = {
    "azureblob": ("AzureBlob", "containerName"),
    "azurefile": ("AzureFile", "fileShareName"),
    "azuredatalakegen2": ("AzureDataLakeGen2", "filesystem"),
}
_ACCOUNT = re.compile("[a-zA-Z0-9_-]{1,64}")
_PRINCIPAL = ("authorityUrl", "clientId", "resourceUrl", "tenantId")
# The kinds of credentials (OpenAPI 2024-04-01): what is shown of them, and the secret, which is not.
_CREDENTIALS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "None": ((), None),
    "AccountKey": ((), "key"),
    "Sas": ((), "sasToken"),
    "ServicePrincipal": (_PRINCIPAL, "clientSecret"),
    "Certificate": ((*_PRINCIPAL, "thumbprint"), "certificate"),
}
_KINDS = {kind.casefold(): kind for kind in _CREDENTIALS}


def read(given: Json, tags: dict[str, str]) -> tuple[DatastoreProperties, Json]:
    """What is to be kept of the body's properties, and the secrets apart; raises BadRequest."""
    kept, secrets = _place(given), Json()
    if "accountName" in kept:  # of the own account the workspace knows what it takes
        shown, secrets = _credentials(given)
        kept |= {**shown, "endpoint": text(given, "endpoint"), "protocol": text(given, "protocol")}
    kept["description"] = text(given, "description")
    kept["properties"] = texts(given, "properties") or None
    kept["tags"] = texts(given, "tags") or tags
    return cast(DatastoreProperties, kept), secrets


def _place(given: Json) -> Json:
    kind, place = _PLACES.get((text(given, "datastoreType") or "").casefold(), (None, ""))
    if kind is None:
        known = ", ".join(each for each, _ in _PLACES.values())
        raise refused("datastoreType", f"the files of {known} are kept here")
    named, account = text(given, place), text(given, "accountName")
    if not named:
        raise refused(place, f"a datastore of the type {kind} needs one")
    if account is not None and not is_own(account) and not _ACCOUNT.fullmatch(account):
        raise refused("accountName", "a storage account has a name of letters and digits")
    if kind != "AzureBlob" and not account:  # documented: of a container's it may be left out
        raise refused("accountName", f"a datastore of the type {kind} needs one")
    return {"datastoreType": kind, place: named, **({} if is_own(account) else {"accountName": account})}


def _credentials(given: Json) -> tuple[Json, Json]:
    """The credentials without their secret, and the secret alone."""
    credentials = record(given, "credentials") or {}
    kind = _KINDS.get((text(credentials, "credentialsType") or "").casefold())
    if kind is None:
        known = ", ".join(_CREDENTIALS)
        raise refused("credentials.credentialsType", f"it must be one of {known}")
    open_fields, secret = _CREDENTIALS[kind]
    shown = {name: value for name in open_fields if (value := text(credentials, name)) is not None}
    found = text(record(credentials, "secrets") or {}, secret) if secret else None
    return {"credentialsType": kind, "credentials": shown}, ({secret: found} if secret and found else {})
