"""The managed identity of a compute cluster: made by the service, or lent by whoever creates the cluster."""

from __future__ import annotations

import re
from uuid import NAMESPACE_URL, uuid5

from starlette.requests import Request

from azureml_local.errors import Forbidden
from azureml_local.state.access import Caller
from azureml_local.state.document import Json
from azureml_local.state.documents import ClusterDocument
from azureml_local.wire.arm import body, workspace_of
from azureml_local.wire.fields import identity, record, refused

_ASSIGN = "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"
_TYPES = ("SystemAssigned", "UserAssigned", "SystemAssigned,UserAssigned", "None")
_ID = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ManagedIdentity"
    r"/userAssignedIdentities/[^/]+",
    re.IGNORECASE,
)


def given(request: Request, existing: ClusterDocument | None) -> Json | None:
    """The identity that the request asks for, with the ids that the service fills in; else the one it has.

    Raises BadRequest for what is no identity, Forbidden where the caller may not lend it.
    """
    wanted = identity(body(request))
    if wanted is None:
        return existing["identity"] if existing else None
    kind = wanted["type"].replace(" ", "")
    if kind not in _TYPES:
        raise refused("identity.type", f"it must be one of {', '.join(_TYPES)}")
    if kind == "None":
        return None
    found: Json = {"type": wanted["type"]}
    tenant = workspace_of(request).settings.tenant_id
    if "SystemAssigned" in kind:
        found |= {"principalId": _made_up(request.url.path), "tenantId": tenant}
    if "UserAssigned" in kind.split(","):
        lent = record(wanted, "userAssignedIdentities") or {}
        if not lent:
            raise refused("identity.userAssignedIdentities", "an identity of one's own is named by its id")
        found["userAssignedIdentities"] = {name: _lent(request, name) for name in lent}
    return found


def _lent(request: Request, name: str) -> Json:
    """A user-assigned identity, which takes a right on it besides that on the cluster.

    The refusal's words are Resource Manager's for every resource that is given an identity (as users report).
    """
    if not _ID.fullmatch(name):
        raise refused("identity.userAssignedIdentities", f"{name!r} is not the id of a managed identity")
    claims = request.scope["state"]["claims"]
    if not workspace_of(request).access.allows(_ASSIGN, name):
        who = Caller(str(claims.get("appid", "")), str(claims.get("oid", "")))
        raise Forbidden(
            f"The client '{who.client}' with object id '{who.object_id}' has permission to perform action "
            f"'Microsoft.MachineLearningServices/workspaces/computes/write' on scope '{request.url.path}'; "
            f"however, it does not have permission to perform action(s) '{_ASSIGN}' on the linked scope(s) "
            f"'{name}' (respectively) or the linked scope(s) are invalid.",
            code="LinkedAuthorizationFailed",
        )
    return {"principalId": _made_up(name), "clientId": _made_up(f"{name}/client")}


def _made_up(of: str) -> str:
    return str(uuid5(NAMESPACE_URL, of.casefold()))
