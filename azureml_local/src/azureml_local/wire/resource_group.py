"""Resource groups, and what lies in them beside workspaces.

Documented (Microsoft.Resources, 2020-06-01 and 2021-04-01): PUT answers 201 the first time, HEAD says by 204
or 404 whether there is one, and a deletion, 202 with a Location to poll, takes all that is in it.
Recorded: what a workspace was made of is deleted with 200 and no body.
"""

from __future__ import annotations

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import Conflict, NotFound, UnknownScope
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.documents import DEPENDENT, GROUPS, WORKSPACES
from azureml_local.state.workspace_documents import GroupDocument
from azureml_local.wire import workspace_request
from azureml_local.wire.arm import GROUP, SUBSCRIPTION, body, first_of, page, route
from azureml_local.wire.fields import refused, text, texts

_PATH = SUBSCRIPTION + "/resourceGroups/{name}"
_DEPENDENT = (
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.Insights/components",
    "Microsoft.KeyVault/vaults",
    "Microsoft.OperationalInsights/workspaces",
    "Microsoft.Storage/storageAccounts",
)


def get(request: Request) -> Response:
    """The resource group, which clients ask for its location."""
    return JSONResponse(_shown(first_of(request), _existing(request)))


def exists(request: Request) -> Response:
    """204 where there is such a group."""
    _existing(request)
    return Response(status_code=204)


def list_all(request: Request) -> Response:
    """All resource groups of the subscription."""
    first = first_of(request)
    own = _own(first)
    kept = [document for _, document in first.store.list(GROUPS) if not _is_own(first, document["name"])]
    return page(request, [_shown(first, document) for document in (own, *kept)])


def put(request: Request) -> Response:
    """Make a group, or change the tags of one."""
    first, name, given = first_of(request), request.path_params["name"], body(request)
    workspace_request.check_group(name)
    known = _find(first, name)
    location = text(given, "location") or (known["location"] if known else None)
    if not location:
        raise refused("location", "a resource group needs one")
    if known and known["location"] != location:
        raise Conflict(
            f"Invalid resource group location '{location}'. The Resource group already exists in location "
            f"'{known['location']}'.",
            code="InvalidResourceGroupLocation",
        )
    document: GroupDocument = {"name": name, "location": location, "tags": texts(given, "tags")}
    first.store.put(GROUPS, name, document)
    return JSONResponse(_shown(first, document), 200 if known else 201)


def delete(request: Request) -> Response:
    """Remove the group with the workspaces in it; the first workspace's own stays."""
    first, document = first_of(request), _existing(request)
    name = document["name"]
    if _is_own(first, name):
        raise Conflict(f"The workspace {first.settings.workspace} is in the group {name}, and stays.")
    for each in tuple(first.others.values()):
        if each.settings.resource_group.casefold() == name.casefold():
            neighbours.remove(first, name, each.settings.workspace)
            first.store.delete(WORKSPACES, neighbours.key(name, each.settings.workspace))
    group_id = _shown(first, document)["id"]
    for arm_id, _ in first.store.list(DEPENDENT, f"{group_id}/"):
        first.store.delete(DEPENDENT, arm_id)
    first.store.delete(GROUPS, name)
    version = request.query_params.get("api-version", "")
    subscription = f"{first.settings.base_url}/subscriptions/{first.settings.subscription_id}"
    return Response(
        status_code=202,
        headers={"Location": f"{subscription}/operationresults/{uuid4()}?api-version={version}"},
    )


def deletion(request: Request) -> Response:
    """Whether a group is gone: it is."""
    return Response(status_code=200)


def get_dependent(request: Request) -> Response:
    """What a workspace was made of."""
    document = first_of(request).store.get(DEPENDENT, request.url.path)
    type_, _, name = request.url.path.partition("/providers/")[2].rpartition("/")
    if document is None:
        raise NotFound(f"The Resource '{type_}/{name}' was not found.", code="ResourceNotFound")
    return JSONResponse({"id": request.url.path, "name": name, "type": type_, "properties": {}, **document})


def delete_dependent(request: Request) -> Response:
    """Forget that it was there; a storage account's files go with its workspace."""
    deleted = first_of(request).store.delete(DEPENDENT, request.url.path)
    return Response(status_code=200 if deleted else 204)


def _existing(request: Request) -> GroupDocument:
    name = request.path_params["name"]
    document = _find(first_of(request), name)
    if document is None:
        raise UnknownScope(f"Resource group '{name}' could not be found.", code="ResourceGroupNotFound")
    return document


def _find(first: Workspace, name: str) -> GroupDocument | None:
    return _own(first) if _is_own(first, name) else first.store.get(GROUPS, name)


def _own(first: Workspace) -> GroupDocument:
    """The first workspace's group, with the tags that somebody may have given it."""
    settings = first.settings
    kept = first.store.get(GROUPS, settings.resource_group)
    return kept or {"name": settings.resource_group, "location": settings.location, "tags": {}}


def _is_own(first: Workspace, name: str) -> bool:
    return name.casefold() == first.settings.resource_group.casefold()


def _shown(first: Workspace, document: GroupDocument) -> Json:
    return {
        "id": f"/subscriptions/{first.settings.subscription_id}/resourceGroups/{document['name']}",
        "name": document["name"],
        "type": "Microsoft.Resources/resourceGroups",
        "location": document["location"],
        "tags": document["tags"],
        "properties": {"provisioningState": "Succeeded"},
    }


routes = [
    route(SUBSCRIPTION + "/resourceGroups", GET=list_all),
    route(_PATH, GET=get, HEAD=exists, PUT=put, DELETE=delete),
    route(SUBSCRIPTION + "/operationresults/{operation}", GET=deletion),
    *(
        route(f"{GROUP}/providers/{type_}/{{name}}", GET=get_dependent, DELETE=delete_dependent)
        for type_ in _DEPENDENT
    ),
]
