"""Which action each route takes, and the refusal where no role of the caller allows it.

Resource Manager makes an action of the types in a path and the method, so nearly all follow from the route
(documented: learn.microsoft.com/azure/role-based-access-control/resource-provider-operations). What does not,
as the services behind the workspace have paths of their own, stands in tables here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.requests import Request

from azureml_local.settings import PROVIDER
from azureml_local.state.access import Access, Caller

_EXPERIMENTS = f"{PROVIDER}/workspaces/experiments"
_RUNS = f"{_EXPERIMENTS}/runs"
_MODELS = f"{PROVIDER}/workspaces/models"
_REGISTRY_ASSETS = f"{PROVIDER}/registries/assets"
_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}

# Roles for endpoints and computes name no action for these, though every client polls them (documented in
# how-to-authenticate-online-endpoint): whoever began an operation may ask how it ends.
_OPERATIONS = (
    "mfeOperationsStatus",
    "computeOperationsStatus",
    "mfeOperationResults",
    "workspaceOperationsStatus",
    "registryOperationsStatus",
)
# A call that makes a resource below the one that is called (documented: how-to-authenticate-batch-endpoint).
_MADE_BY_POST = ("workspaces/batchEndpoints/jobs", "workspaces/batchEndpoints/deployments/jobs")
# Resource Manager's own types, outside the provider's.
_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUPS = f"{_SUBSCRIPTION}/resourceGroups"
_GROUP = f"{_GROUPS}/{{group}}"
_OTHERS = {f"{_GROUPS}/{{name}}": "Microsoft.Resources/subscriptions/resourceGroups"}
# Of these the last part of the path is no name, or is one that no action has.
_OF_TEMPLATES = {
    f"{_GROUP}/providers/Microsoft.Resources/deployments/{{template}}/operationStatuses/{{status}}": (
        "Microsoft.Resources/deployments/operationstatuses/read"
    ),
    f"{_GROUP}/deployments/{{template}}/operations": "Microsoft.Resources/deployments/operations/read",
    _GROUPS: "Microsoft.Resources/subscriptions/resourceGroups/read",
}
_REGISTRATION = "/subscriptions/{subscription}/providers/{namespace}"
# MLflow's calls that ask by POST; every other POST writes (documented: how-to-assign-roles).
_MLFLOW_QUESTIONS = ("search", "get-latest-versions", "get-history", "get-history-bulk-interval")
_MLFLOW_MODELS = ("registered-models", "model-versions")
_MLFLOW_EXPERIMENTS = "experiments"
_HISTORY_QUESTIONS = ("rundata", "batchGetResolvedUris")


@dataclass(frozen=True)
class Needed:
    """The action that a request takes, and the scope over which."""

    action: str
    scope: str


def check(request: Request, template: str) -> None:
    """Raise Forbidden unless the caller may do what the request asks of the route with this path.

    A job's own token may write its run and its outputs, whoever submitted it.
    """
    claims: Mapping[str, object] | None = request.scope.get("state", {}).get("claims")
    if claims is None or "run" in claims:
        return
    needed = needed_for(template, request.method, request.url.path)
    if needed is not None:
        caller = Caller(str(claims.get("appid", "")), str(claims.get("oid", "")))
        access: Access = request.app.state.workspace.access
        access.check(caller, needed.action, needed.scope)


def needed_for(template: str, method: str, path: str) -> Needed | None:
    """What a request takes; None where it needs no role. Raises LookupError for a route that is not known."""
    if template.startswith("/subscriptions/"):
        return _resource_managers(template, method, path)
    if f"/{PROVIDER}/workspaces/" in template:  # a service of the workspace, below a prefix of its own
        scope = path[path.index("/subscriptions/") :]
        return Needed(_services(template, method, path), "/".join(scope.split("/")[:9]))
    # Anybody may read the public registry, as every example of Azure's does, without a role.
    if template.startswith("/registrymanagement/"):
        return None
    raise LookupError(f"No action is known for {method} {template}.")


def _resource_managers(template: str, method: str, path: str) -> Needed | None:
    """The action by the types of the path; one that ends with a type, not a name, is a list or a call."""
    if template.endswith("/providers/Microsoft.Resources/deployments/{deployment}/validate"):
        return Needed("Microsoft.Resources/deployments/validate/action", path.rsplit("/providers/", 1)[0])
    if template.startswith(_GROUPS) and PROVIDER not in template and "Authorization" not in template:
        return _of_groups(template, method, path)
    if template == f"{_SUBSCRIPTION}/operationresults/{{operation}}":
        return None  # whoever began an operation may ask how it ends, as of the provider's own
    if template.startswith(_REGISTRATION):
        return _registrations(method, path)
    if template.endswith("/providers/Microsoft.Authorization/permissions"):
        return Needed("Microsoft.Authorization/permissions/read", path.rsplit("/providers/", 1)[0])
    parts = template.split(f"/providers/{PROVIDER}/", 1)[1].split("/")
    if parts[0] == "registries":
        return _registrys(parts, method, path)
    if parts[0] == "locations" and parts[2] in _OPERATIONS:
        return None
    fixed = [part for part in parts if not part.startswith("{")]
    if parts[-1].startswith("{"):
        # A POST there is to what is not served, whatever it would do.
        return Needed(f"{PROVIDER}/{'/'.join(fixed)}/{_VERBS.get(method, 'action')}", path)
    above = path.rsplit("/", 1)[0].removesuffix(f"/providers/{PROVIDER}")
    if parts[0] == "locations":  # at the subscription's scope: the region is no resource
        above = "/".join(path.split("/")[:3])
    verb = "write" if "/".join(fixed) in _MADE_BY_POST and method == "POST" else _VERBS.get(method, "action")
    return Needed(f"{PROVIDER}/{'/'.join(fixed)}/{verb}", above)


def _of_groups(template: str, method: str, path: str) -> Needed:
    """Of resource groups, of templates deployed into them, and of other providers' things in them."""
    if template in _OTHERS:
        return Needed(f"{_OTHERS[template]}/{_VERBS[method]}", path)
    if template in _OF_TEMPLATES:
        return Needed(_OF_TEMPLATES[template], "/".join(path.split("/")[:5]))
    type_ = template.partition("/providers/")[2].rpartition("/")[0]
    return Needed(f"{type_}/{_VERBS[method]}", path)


def _registrations(method: str, path: str) -> Needed:
    """Reading a provider's state takes an action of Resource Manager's, changing it one of the provider's."""
    parts = path.split("/")
    if method in ("GET", "HEAD"):
        action = "Microsoft.Resources/subscriptions/providers/read"
    else:
        action = f"{parts[4]}/{parts[5]}/action"
    return Needed(action, "/".join(parts[:3]))


def _registrys(parts: list[str], method: str, path: str) -> Needed | None:
    """Assets of every kind are one type in a registry; the public one is read without a role."""
    if _VERBS.get(method) == "read" or parts[2:3] == ["datarefs"]:
        return None
    if len(parts) == 2:
        return Needed(f"{PROVIDER}/registries/{_VERBS[method]}", path)
    verb = "delete" if method == "DELETE" else "write"
    return Needed(f"{_REGISTRY_ASSETS}/{verb}", "/".join(path.split("/")[:9]))


def _services(template: str, method: str, path: str) -> str:
    """The action of MLflow's calls, of the run history's, and of those that readers of data ask."""
    if template.startswith("/datastore/"):  # it comes with what opens it
        return f"{PROVIDER}/workspaces/datastores/listsecrets/action"
    if "/dataversion/{name}/" in template:
        return f"{PROVIDER}/workspaces/data/versions/read"
    last = path.rsplit("/", 1)[-1]
    asked = method in ("GET", "HEAD") or last in (*_MLFLOW_QUESTIONS, *_HISTORY_QUESTIONS)
    return f"{_type(template, path)}/{'read' if asked else 'write'}"


def _type(template: str, path: str) -> str:
    if template.startswith("/mlflow/"):
        if any(f"/{name}/" in path for name in _MLFLOW_MODELS):
            return _MODELS
        if f"/mlflow/{_MLFLOW_EXPERIMENTS}/" in path:
            return _EXPERIMENTS
    return _RUNS
