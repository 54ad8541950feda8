"""Connections: addresses of other services, with what opens these.

Recorded in 2022: PUT answers 200 also the first time, DELETE 200 without a body; a missing one is the 404 of
account-rp; credentials are null in every answer but that of listSecrets. Documented (OpenAPI 2024-04-01): 204
where there was nothing to delete, the filters of a list, and that without `includeAll` a list has no
connections to data. Which categories those are is assumed from the SDK's DATASTORE_CONNECTIONS; that the
datastores themselves are then listed as well has not been seen, and is not done here.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import NotFound
from azureml_local.state.document import Json
from azureml_local.state.documents import CONNECTIONS, ConnectionDocument
from azureml_local.wire import connection_request
from azureml_local.wire.arm import WORKSPACE, flag, page, properties, resource, route, workspace_of

_DATA = frozenset({"azureblob", "adlsgen2", "azureonelake"})


def get(request: Request) -> Response:
    """One connection, without what opens it."""
    return JSONResponse(_resource(request, request.path_params["name"], _existing(request)["properties"]))


def list_all(request: Request) -> Response:
    """The connections of the category and the target that the query names, without what opens them."""
    query, everything = request.query_params, flag(request, "includeAll")
    category, target = query.get("category", "").casefold(), query.get("target")
    found = []
    for name, document in workspace_of(request).store.list(CONNECTIONS):
        given = document["properties"]
        kind = given["category"].casefold()
        if category in ("", kind) and target in (None, given["target"]) and (everything or kind not in _DATA):
            found.append(_resource(request, name, given))
    return page(request, found)


def put(request: Request) -> Response:
    """Make a connection, or replace one with all that it had."""
    name = request.path_params["name"]
    document = connection_request.read(properties(request))
    workspace_of(request).store.put(CONNECTIONS, name, document)
    return JSONResponse(_resource(request, name, document["properties"]))


def delete(request: Request) -> Response:
    """Forget the connection and what opens it."""
    deleted = workspace_of(request).store.delete(CONNECTIONS, request.path_params["name"])
    return Response(status_code=200 if deleted else 204)


def list_secrets(request: Request) -> Response:
    """The connection with what opens it, as it was given."""
    document = _existing(request)
    shown = {**document["properties"], "credentials": document["credentials"]}
    return JSONResponse(_resource(request, request.path_params["name"], shown))


def _existing(request: Request) -> ConnectionDocument:
    name = request.path_params["name"]
    document = workspace_of(request).store.get(CONNECTIONS, name)
    if document is None:
        raise NotFound(
            f"Connection {name} can't be found in this workspace", code="UserError", inner=("NotFoundError",)
        )
    return document


def _resource(request: Request, name: str, given: Json) -> Json:
    shown = {"credentials": None, **given}
    if given["authType"] in connection_request.WITHOUT_CREDENTIALS:
        del shown["credentials"]  # documented: these kinds have no such property
    path = f"{workspace_of(request).settings.workspace_arm_id}/connections/{name}"
    beside = {"tags": None, "location": None, "systemData": None}
    return resource(path, "workspaces/connections", shown, **beside)


routes = [
    route(WORKSPACE + "/connections", GET=list_all),
    route(WORKSPACE + "/connections/{name}", GET=get, PUT=put, DELETE=delete),
    route(WORKSPACE + "/connections/{name}/listSecrets", POST=list_secrets),
]
