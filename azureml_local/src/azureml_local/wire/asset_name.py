"""The names of assets, each a container of versions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.assets import versions
from azureml_local.state.document import Json, SystemData
from azureml_local.state.documents import AssetDocument, by_age, shared_by_versions
from azureml_local.state.order import Position
from azureml_local.wire import asset_request
from azureml_local.wire.arm import REGISTRY, WORKSPACE, pages, resource, route, workspace_of
from azureml_local.wire.asset_collection import (
    COLLECTIONS,
    COMPONENTS,
    DATA,
    NAME,
    Collection,
    base,
    check_label,
    given_properties,
    in_view,
    scope,
)

# What all versions of a name have in common.
_SHARED = ("description", "tags", "properties", "isArchived", "dataType")


@dataclass(frozen=True)
class AssetNames:
    """The handlers of one collection's names."""

    collection: Collection

    def list_all(self, request: Request) -> Response:
        """Every name that has versions, or of which something was set."""

        def found(after: Position | None) -> Iterator[tuple[Position, Json]]:
            containers = (
                (place, self._container(request, name)) for place, name in self._names(request, after)
            )
            return ((place, shown) for place, shown in containers if in_view(request, shown["properties"]))

        return pages(request, found)

    def get(self, request: Request) -> Response:
        """One name, with its latest version and the next."""
        store, kind = workspace_of(request).store, self.collection.kind(request)
        name = request.path_params["name"]
        if store.get(shared_by_versions(kind), name) is None and not store.list(kind, f"{name}/", limit=1):
            raise self.collection.missing(request, name)
        return JSONResponse(self._container(request, name))

    def put(self, request: Request) -> Response:
        """Set the description, tags and archive flag that all versions share."""
        name, given = request.path_params["name"], given_properties(request)
        check_label("name", name, NAME)
        kept: Json = {key: given[key] for key in _SHARED if key in given}
        if self.collection is DATA:
            asset_request.check_data_type(given)
        shared = shared_by_versions(self.collection.kind(request))
        workspace_of(request).store.put(shared, name, kept)
        return JSONResponse(self._container(request, name))

    def delete(self, request: Request) -> Response:
        """Delete the name with all its versions."""
        store, kind = workspace_of(request).store, self.collection.kind(request)
        name = request.path_params["name"]
        found = store.list(kind, f"{name}/")
        for version, _ in found:
            store.delete(kind, version)
        known = store.delete(shared_by_versions(kind), name)
        return Response(status_code=200 if found or known else 204)

    def routes(self) -> list[Route]:
        """The routes of the workspace's names and of the registry's."""
        paths = [f"{above}/{self.collection.name}" for above in (WORKSPACE, REGISTRY)]
        lists = [route(path, GET=self.list_all) for path in paths]
        return lists + [
            route(path + "/{name}", GET=self.get, PUT=self.put, DELETE=self.delete) for path in paths
        ]

    def _names(self, request: Request, after: Position | None) -> Iterator[tuple[Position, str]]:
        """The names that have versions, then those of which nothing but what versions share was set."""
        store, kind = workspace_of(request).store, self.collection.kind(request)
        group, last = after or (0, "")
        if group == 0:
            yield from (((0, name), name) for name in store.first_parts(kind, last))
            last = ""
        for name, _ in store.list(shared_by_versions(kind), after=last or None):
            if not store.list(kind, f"{name}/", limit=1):
                yield (1, name), name

    def _following(self, request: Request, name: str) -> str:
        workspace = workspace_of(request)
        if self.collection is COMPONENTS:
            return _moment(workspace.clock.now())
        return versions.following(workspace.store, self.collection.kind(request), name)

    def _container(self, request: Request, name: str) -> Json:
        store, kind = workspace_of(request).store, self.collection.kind(request)
        shared = store.get(shared_by_versions(kind), name) or {}
        latest = store.last(by_age(kind), name)
        answer: Json = {
            "description": shared.get("description"),
            "tags": shared.get("tags") or {},
            "properties": shared.get("properties") or {},
            "isArchived": bool(shared.get("isArchived", False)),
            "latestVersion": latest["version"] if latest else None,
            "nextVersion": self._following(request, name),
        }
        if self.collection is DATA:
            answer["dataType"] = _data_type(latest, shared)
        system: SystemData | Json = latest["systemData"] if latest else {}
        path = f"{base(request)}/{self.collection.name}/{latest['name'] if latest else name}"
        return resource(path, f"{scope(request)}/{self.collection.name}", answer, systemData=system)


def _moment(now: datetime) -> str:
    """UTC now with seven digits of a second: a component's next version (recorded), also where the last one
    is a number (azure-ai-ml's tests: test_command_component_create_autoincrement).
    """
    return f"{now:%Y-%m-%d-%H-%M-%S-%f}0"


def _data_type(latest: AssetDocument | None, shared: Json) -> str:
    if latest is not None:
        return str(latest["properties"]["dataType"])
    return str(shared.get("dataType", "uri_folder"))


routes = [found for collection in COLLECTIONS for found in AssetNames(collection).routes()]
