"""Versions of the workspace's and the registry's assets: models, data, code, environments, components."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.assets import kinds, versions
from azureml_local.errors import Conflict
from azureml_local.execution.workspace import Workspace
from azureml_local.state import transitions
from azureml_local.state.clock import iso
from azureml_local.state.document import Json
from azureml_local.state.documents import AssetDocument, assets, by_age, by_hash
from azureml_local.state.order import Position
from azureml_local.wire import asset_name, component_spec, fields
from azureml_local.wire.arm import REGISTRY, WORKSPACE, body, pages, route, workspace_of
from azureml_local.wire.asset_collection import (
    COLLECTIONS,
    COMPONENTS,
    ENVIRONMENTS,
    NAME,
    VERSION,
    Collection,
    check_label,
    given_properties,
    in_view,
    is_registry,
)
from azureml_local.wire.operation import accepted

# What the SDK asks for when no version of a component is named.
_DEFAULT_VERSION = "azureml_default"
# What may change of a version that exists.
_CHANGEABLE = ("description", "tags", "properties", "isArchived", "stage", "isAnonymous", "autoDeleteSetting")


@dataclass(frozen=True)
class AssetVersions:
    """The handlers of one collection's versions."""

    collection: Collection

    def list_all(self, request: Request) -> Response:
        """The versions of a name, the newest first."""
        name, query = request.path_params["name"], request.query_params
        self._offer_curated(request)
        kind, store = self.collection.kind(request), workspace_of(request).store
        # Code is looked up by the hash of its content, whatever name it was given.
        order, group = (by_hash(kind), query["hash"]) if "hash" in query else (by_age(kind), name)
        descending = "desc" in query.get("$orderBy", "createdtime desc").lower()
        read = store.newest if descending else store.oldest

        def found(after: Position | None) -> Iterator[tuple[Position, AssetDocument]]:
            rows = read(order, group, after=after)
            return ((p, d) for p, d in rows if in_view(request, d["properties"]) and _matches(request, d))

        return pages(request, found, show=lambda document: self.collection.resource(request, document))

    def get(self, request: Request) -> Response:
        """One version."""
        return JSONResponse(self.collection.resource(request, self._existing(request)))

    def put(self, request: Request) -> Response:
        """Create a version, or change what may change of one that exists."""
        workspace, kind = workspace_of(request), self.collection.kind(request)
        name, version = request.path_params["name"], request.path_params["version"]
        given = given_properties(request)
        check_label("name", name, NAME)
        check_label("version", version, VERSION)
        # Seen of workspaces alone; of a registry the SDK reads the address that it has put to afterwards.
        nameless = name == component_spec.ANONYMOUS and self.collection is COMPONENTS
        if nameless and not is_registry(request):
            return self._put_anonymous(request, given)
        full = f"{name}/{version}"
        if workspace.store.get(kind, full) is not None:
            document = workspace.store.update(kind, full, lambda old: self._changed(workspace, old, given))
            return JSONResponse(self.collection.resource(request, document))
        checked = self.collection.check(workspace, name, version, given)
        document = versions.document(workspace.clock, name, version, checked)
        workspace.store.create(kind, full, document)
        answer = self.collection.resource(request, document)
        if not is_registry(request):
            return JSONResponse(answer, 201)
        # A registry copies the version to its regions, which is a long operation.
        operation = workspace.operations.begin(kind, full, transitions.CREATE_ASSET)
        return accepted(request, operation, answer, 201)

    def _put_anonymous(self, request: Request, given: Json) -> Response:
        """Keep a component without a name, under the version that the service gives it by its content."""
        workspace, kind = workspace_of(request), self.collection.kind(request)
        name = component_spec.ANONYMOUS
        checked = self.collection.check(workspace, name, "1", given)
        version = component_spec.version_of(checked["componentSpec"])
        full = f"{name}/{version}"
        if workspace.store.get(kind, full) is None:
            workspace.store.put(kind, full, versions.document(workspace.clock, name, version, checked))
        document = workspace.store.get(kind, full)
        assert document is not None
        return JSONResponse(self.collection.resource(request, document), 201)

    def delete(self, request: Request) -> Response:
        """Delete one version; its files stay."""
        full = f"{request.path_params['name']}/{request.path_params['version']}"
        deleted = workspace_of(request).store.delete(self.collection.kind(request), full)
        return Response(status_code=200 if deleted else 204)

    def routes(self) -> list[Route]:
        """The routes of the workspace's versions and of the registry's."""
        found = []
        for above in (WORKSPACE, REGISTRY):
            path = f"{above}/{self.collection.name}/{{name}}/versions"
            found += [
                route(path, GET=self.list_all),
                route(path + "/{version}", GET=self.get, PUT=self.put, DELETE=self.delete),
                route(path + "/{version}/startPendingUpload", POST=start_upload),
            ]
        return found

    def _existing(self, request: Request) -> AssetDocument:
        store, kind = workspace_of(request).store, self.collection.kind(request)
        name, version = request.path_params["name"], request.path_params["version"]
        if version == _DEFAULT_VERSION and self.collection is COMPONENTS:
            version = versions.latest(store, kind, name)
        self._offer_curated(request, version)
        document = store.get(kind, f"{name}/{version}")
        if document is None:
            raise self.collection.missing(request, f"{name}:{request.path_params['version']}")
        return document

    def _offer_curated(self, request: Request, version: str | None = None) -> None:
        """Make, when it is asked for, an environment of those that Azure has in every workspace."""
        workspace, kind = workspace_of(request), self.collection.kind(request)
        name = request.path_params["name"]
        if self.collection is not ENVIRONMENTS or not kinds.is_curated(name) or not NAME.match(name):
            return
        known = workspace.store.list(kind, f"{name}/{version or ''}", limit=1)
        wanted = version or "1"
        if not known and VERSION.match(wanted):
            versions.put(workspace, kind, name, wanted, kinds.curated(name, wanted))

    def _changed(self, workspace: Workspace, old: AssetDocument, given: Json) -> AssetDocument:
        kept = old["properties"]
        if self.collection is COMPONENTS and given.get("componentSpec") is not None:
            checked = self.collection.check(workspace, old["name"], old["version"], given)
            spec = checked["componentSpec"]
            component_spec.check_change(old["name"], kept["componentSpec"], spec)
            kept = kept | {"componentSpec": component_spec.changed(kept["componentSpec"], spec)}
            given = {**given, "componentSpec": None, "description": None}
        differing = [k for k in self.collection.identity if given.get(k) not in (None, kept.get(k))]
        name, version = old["name"], old["version"]
        checked = self.collection.check(workspace, name, version, given) if differing else {}
        for key in differing:
            if checked.get(key) != kept.get(key):
                # Assumed: the words and the status of such a conflict are not known for these assets.
                raise Conflict(
                    f"Version {version} of {name} exists with another {key}; of an existing "
                    "version only description, tags, properties and the archive flag can change. "
                    "Use a new version.",
                    code="UserError",
                    target=key,
                )
        change = {key: given[key] for key in _CHANGEABLE if given.get(key) is not None}
        now = iso(workspace.clock.now())
        return {
            **old,
            "properties": kept | change,
            "systemData": {**old["systemData"], "lastModifiedAt": now},
        }


def refer_for_upload(request: Request) -> Response:
    """A place for the files of a registry's version; 409 where there is one already.

    As users printed it (azure-sdk-for-python #30208). azure-ai-ml stops at it for models and code (#37464).
    """
    asset_id = fields.text(body(request), "assetId") or ""
    if (match := _REGISTRY_ASSET.match(asset_id)) and match["collection"].lower() in _UPLOADED:
        kind = assets(match["collection"].lower(), registry=True)
        if workspace_of(request).store.get(kind, f"{match['name']}/{match['version']}") is not None:
            raise Conflict(f"Asset {match['name']}:{match['version']} already exists.", code="UserError")
    return start_upload(request)


def start_upload(request: Request) -> Response:
    """A container of its own for an asset's files, and a signature that opens it."""
    workspace = workspace_of(request)
    container = str(uuid4())
    workspace.blobs.create_container(container)
    uri = f"{workspace.settings.blob_url}/{container}"
    return JSONResponse(
        {
            "pendingUploadId": container,
            "pendingUploadType": "TemporaryBlobReference",
            "blobReferenceForConsumption": {
                "blobUri": uri,
                "storageAccountArmId": f"{workspace.settings.workspace_arm_id}/storage",
                "credential": {
                    "credentialType": "SAS",
                    "sasUri": f"{uri}?{workspace.tokens.sas(container)}",
                },
            },
        }
    )


def _matches(request: Request, document: AssetDocument) -> bool:
    """Whether the version has the tags and the stage that the query asks for."""
    query, given = request.query_params, document["properties"]
    for wanted in filter(None, query.get("tags", "").split(",")):
        key, _, value = wanted.partition("=")
        if key not in given["tags"] or (value and given["tags"][key] != value):
            return False
    return "stage" not in query or query["stage"] == given.get("stage")


_REGISTRY_ASSET = re.compile(
    r"azureml://registries/[^/]+/(?P<collection>\w+)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)$", re.I
)
_UPLOADED = frozenset(collection.name for collection in COLLECTIONS)
_REGISTRY_UPLOAD = REGISTRY + "/tempdatarefs/{name}/versions/{version}"
routes = [
    route(_REGISTRY_UPLOAD, PUT=refer_for_upload),
    *asset_name.routes,
    *(found for collection in COLLECTIONS for found in AssetVersions(collection).routes()),
]
