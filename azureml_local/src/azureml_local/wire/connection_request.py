"""The body of a request to make a connection, checked."""

from __future__ import annotations

from azureml_local.state.document import Json
from azureml_local.state.documents import ConnectionDocument
from azureml_local.wire.fields import record, refused, text, texts

WITHOUT_CREDENTIALS = frozenset({"None", "AAD"})
# What each kind of credentials is made of (OpenAPI 2024-04-01), by the kind. An account key comes from
# azure-ai-ml as `sas` (its AccountKeyConfiguration). Of OAuth2 none is asked for: which are needed depends on
# the service. Custom keys are an object of their own.
_CREDENTIALS: dict[str, tuple[str, ...]] = {
    "PAT": ("pat",),
    "SAS": ("sas",),
    "AccountKey": ("key", "sas"),
    "UsernamePassword": ("username", "password", "securityToken"),
    "ManagedIdentity": ("clientId", "resourceId"),
    "ServicePrincipal": ("clientId", "clientSecret", "tenantId"),
    "AccessKey": ("accessKeyId", "secretAccessKey"),
    "ApiKey": ("key",),
    "OAuth2": (
        "authUrl",
        "clientId",
        "clientSecret",
        "developerToken",
        "password",
        "refreshToken",
        "tenantId",
        "username",
    ),
    "CustomKeys": ("keys",),
}
_KINDS = {kind.casefold(): kind for kind in (*_CREDENTIALS, *WITHOUT_CREDENTIALS)}
# The SDK makes a category of words with capitals, which these are not.
_IRREGULAR = {name.casefold(): name for name in ("AzureOpenAI", "ADLSGen2", "AIServices", "OpenAI")}


def read(given: Json) -> ConnectionDocument:
    """What is to be kept of the body's properties; raises BadRequest, which never repeats a secret."""
    kind = _KINDS.get((text(given, "authType") or "").casefold())
    if kind is None:
        raise refused("authType", f"it must be one of {', '.join(sorted(_KINDS.values()))}")
    category = text(given, "category")
    if not category:
        raise refused("category", "a connection needs one, such as Git or AzureOpenAI")
    shared = given.get("isSharedToAll")
    if shared is not None and not isinstance(shared, bool):
        raise refused("isSharedToAll", "it must be true or false")
    kept: Json = {
        "authType": kind,
        "category": _IRREGULAR.get(category.casefold(), category),
        "expiryTime": text(given, "expiryTime"),
        "target": text(given, "target"),
        "metadata": None if given.get("metadata") is None else texts(given, "metadata"),
    }
    if shared is not None:
        kept["isSharedToAll"] = shared
    return {"properties": kept, "credentials": _credentials(kind, record(given, "credentials"))}


def _credentials(kind: str, given: Json | None) -> Json | None:
    """The credentials that such a connection has; null ones were never given."""
    if given is None or kind in WITHOUT_CREDENTIALS:
        return None
    unknown = sorted(name for name in given if name not in _CREDENTIALS[kind])
    if unknown:
        known = ", ".join(_CREDENTIALS[kind])
        raise refused(f"credentials.{unknown[0]}", f"credentials of the type {kind} have {known}")
    if kind == "CustomKeys":
        return {"keys": texts(given, "keys")}
    return {name: text(given, name) for name in given}
