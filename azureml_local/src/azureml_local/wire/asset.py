"""Versioned assets of the workspace and the registry: models, data, code, environments, components."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.assets import addresses, kinds, versions
from azureml_local.errors import BadRequest, Conflict, NotFound
from azureml_local.execution.workspace import Workspace
from azureml_local.fields import texts
from azureml_local.state import transitions
from azureml_local.state.clock import iso
from azureml_local.state.store import Document
from azureml_local.wire.arm import REGISTRY, WORKSPACE, page, properties, resource, route, workspace_of
from azureml_local.wire.operation import accepted

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}$")
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$")
# What the SDK asks for when no version of a component is named.
_DEFAULT_VERSION = "azureml_default"
# What may change of a version that exists.
_CHANGEABLE = ("description", "tags", "properties", "isArchived", "stage", "isAnonymous", "autoDeleteSetting")

# What all versions of a name have in common.
_SHARED = ("description", "tags", "properties", "isArchived", "dataType")

Check = Callable[[Workspace, str, str, dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Assets:
    """The handlers of one collection; `identity` are properties that an existing version keeps for ever.

    `check` looks at a new version's properties and returns them as they are to be kept.
    """

    collection: str
    identity: tuple[str, ...]
    check: Check

    def list_names(self, request: Request) -> Response:
        found = [self._container(request, name) for name in self._names(request)]
        return page(request, [c for c in found if _in_view(request, c["properties"])])

    def get_name(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name.casefold() not in (known.casefold() for known in self._names(request)):
            raise self._missing(request, name)
        return JSONResponse(self._container(request, name))

    def put_name(self, request: Request) -> Response:
        """Set the description, tags and archive flag that all versions share."""
        name, given = request.path_params["name"], _given(request)
        _check_label("name", name, _NAME)
        kept: Document = {key: given[key] for key in _SHARED if key in given}
        if self is DATA and given.get("dataType") not in kinds.DATA_TYPES:
            raise BadRequest(f"dataType must be one of {', '.join(kinds.DATA_TYPES)}.", target="dataType")
        workspace_of(request).store.put(self._kind(request) + ".names", name, kept)
        return JSONResponse(self._container(request, name))

    def delete_name(self, request: Request) -> Response:
        store, kind, name = workspace_of(request).store, self._kind(request), request.path_params["name"]
        found = store.list(kind, f"{name}/")
        for version, _ in found:
            store.delete(kind, version)
        known = store.delete(kind + ".names", name)
        return Response(status_code=200 if found or known else 204)

    def list_versions(self, request: Request) -> Response:
        name, query = request.path_params["name"], request.query_params
        self._offer_curated(request)
        # Code is looked up by the hash of its content, whatever name it was given.
        prefix = "" if "hash" in query else f"{name}/"
        found = [document for _, document in workspace_of(request).store.list(self._kind(request), prefix)]
        found = [d for d in found if _in_view(request, d["properties"]) and _matches(request, d)]
        descending = "desc" in query.get("$orderBy", "createdtime desc").lower()
        found.sort(key=lambda d: d["systemData"]["createdAt"], reverse=descending)
        return page(request, [self._resource(request, d) for d in found])

    def get_version(self, request: Request) -> Response:
        return JSONResponse(self._resource(request, self._existing(request)))

    def put_version(self, request: Request) -> Response:
        """Create a version, or change what may change of one that exists."""
        workspace, kind = workspace_of(request), self._kind(request)
        name, version = request.path_params["name"], request.path_params["version"]
        given = _given(request)
        _check_label("name", name, _NAME)
        _check_label("version", version, _VERSION)
        full = f"{name}/{version}"
        if workspace.store.get(kind, full) is not None:
            document = workspace.store.update(kind, full, lambda old: self._changed(workspace, old, given))
            return JSONResponse(self._resource(request, document))
        document = versions.document(workspace, name, version, self.check(workspace, name, version, given))
        workspace.store.create(kind, full, document)
        if "registry" not in request.path_params:
            return JSONResponse(self._resource(request, document), 201)
        # A registry copies the version to its regions, which is a long operation.
        operation = workspace.operations.begin(kind, full, transitions.CREATE_ASSET)
        return accepted(request, operation, self._resource(request, document), 201)

    def delete_version(self, request: Request) -> Response:
        deleted = workspace_of(request).store.delete(self._kind(request), self._full(request))
        return Response(status_code=200 if deleted else 204)

    def start_upload(self, request: Request) -> Response:
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

    def routes(self) -> list[Route]:
        found = []
        for scope in (WORKSPACE, REGISTRY):
            names = f"{scope}/{self.collection}"
            of_name = names + "/{name}/versions"
            found += [
                route(names, GET=self.list_names),
                route(names + "/{name}", GET=self.get_name, PUT=self.put_name, DELETE=self.delete_name),
                route(of_name, GET=self.list_versions),
                route(
                    of_name + "/{version}",
                    GET=self.get_version,
                    PUT=self.put_version,
                    DELETE=self.delete_version,
                ),
                route(of_name + "/{version}/startPendingUpload", POST=self.start_upload),
            ]
        return found

    def _kind(self, request: Request) -> str:
        return f"registry/{self.collection}" if "registry" in request.path_params else self.collection

    def _full(self, request: Request) -> str:
        return f"{request.path_params['name']}/{request.path_params['version']}"

    def _existing(self, request: Request) -> Document:
        store, kind = workspace_of(request).store, self._kind(request)
        name, version = request.path_params["name"], request.path_params["version"]
        if version == _DEFAULT_VERSION and self is COMPONENTS:
            version = versions.latest(workspace_of(request), kind, name)
        self._offer_curated(request, version)
        document = store.get(kind, f"{name}/{version}")
        if document is None:
            raise self._missing(request, f"{request.path_params['name']}:{request.path_params['version']}")
        return document

    def _offer_curated(self, request: Request, version: str | None = None) -> None:
        """Make, when it is asked for, an environment of those that Azure has in every workspace."""
        workspace, kind, name = workspace_of(request), self._kind(request), request.path_params["name"]
        if self is not ENVIRONMENTS or not kinds.is_curated(name) or not _NAME.match(name):
            return
        known = workspace.store.list(kind, f"{name}/{version or ''}", limit=1)
        wanted = version or "1"
        if not known and _VERSION.match(wanted):
            versions.put(workspace, kind, name, wanted, kinds.curated(name, wanted))

    def _missing(self, request: Request, what: str) -> NotFound:
        owner = "registry" if "registry" in request.path_params else "workspace"
        return NotFound(
            f"The {owner} has no {self.collection.removesuffix('s')} {what}.",
            code="UserError",
            inner=("NotFound",),
        )

    def _names(self, request: Request) -> list[str]:
        store, kind = workspace_of(request).store, self._kind(request)
        names = [full.rsplit("/", 1)[0] for full, _ in store.list(kind)]
        return sorted(
            {n.casefold(): n for n in [*names, *(n for n, _ in store.list(kind + ".names"))]}.values()
        )

    def _container(self, request: Request, name: str) -> dict[str, Any]:
        store, kind = workspace_of(request).store, self._kind(request)
        documents = [document for _, document in store.list(kind, f"{name}/")]
        shared = store.get(kind + ".names", name) or {}
        latest = max(documents, key=lambda v: v["systemData"]["createdAt"], default=None)
        shown = documents[0]["name"] if documents else name
        answer: dict[str, Any] = {
            "description": shared.get("description"),
            "tags": shared.get("tags") or {},
            "properties": shared.get("properties") or {},
            "isArchived": bool(shared.get("isArchived", False)),
            "latestVersion": latest["version"] if latest else None,
            "nextVersion": versions.following(workspace_of(request), kind, name),
        }
        if self is DATA:
            answer["dataType"] = (
                latest["properties"]["dataType"] if latest else shared.get("dataType", "uri_folder")
            )
        path = f"{self._base(request)}/{self.collection}/{shown}"
        system = latest["systemData"] if latest else {}
        return resource(path, f"{self._scope(request)}/{self.collection}", answer, systemData=system)

    def _resource(self, request: Request, document: Document) -> dict[str, Any]:
        path = f"{self._base(request)}/{self.collection}/{document['name']}/versions/{document['version']}"
        shown = {"provisioningState": "Succeeded"} | document["properties"]
        if self is DATA:
            del shown["provisioningState"]  # the one kind that has none
        if self is MODELS and "registry" in request.path_params:
            shown["modelUri"] = addresses.stored_uri(workspace_of(request), shown["modelUri"])
        return resource(
            path,
            f"{self._scope(request)}/{self.collection}/versions",
            shown,
            systemData=document["systemData"],
        )

    def _base(self, request: Request) -> str:
        settings = workspace_of(request).settings
        if "registry" in request.path_params:
            return f"azureml://registries/{settings.registry}"
        return settings.workspace_arm_id

    def _scope(self, request: Request) -> str:
        return "registries" if "registry" in request.path_params else "workspaces"

    def _changed(self, workspace: Workspace, old: Document, given: dict[str, Any]) -> Document:
        kept = old["properties"]
        differing = [key for key in self.identity if given.get(key) not in (None, kept.get(key))]
        checked = self.check(workspace, old["name"], old["version"], given) if differing else {}
        for key in differing:
            if checked.get(key) != kept.get(key):
                raise Conflict(
                    f"Version {old['version']} of {old['name']} exists with another {key}; of an existing "
                    "version only description, tags, properties and the archive flag can change. "
                    "Use a new version.",
                    code="UserError",
                    target=key,
                )
        change = {key: given[key] for key in _CHANGEABLE if given.get(key) is not None}
        system = old["systemData"] | {"lastModifiedAt": iso(workspace.clock.now())}
        return {**old, "properties": old["properties"] | change, "systemData": system}


def _check_label(what: str, text: str, pattern: re.Pattern[str]) -> None:
    if not pattern.match(text):
        raise BadRequest(
            f"The asset {what} {text[:80]!r} is not valid: letters, digits, '_', '-' and '.', the "
            "first one no '-' or '.'.",
            code="InvalidArgument",
            target=what,
        )


def _given(request: Request) -> dict[str, Any]:
    """The properties of the body, with tags and properties as the objects of strings that they are."""
    given = properties(request)
    said = [field for field in ("tags", "properties") if given.get(field) is not None]
    return given | {field: texts(given, field) for field in said}


def _in_view(request: Request, properties: dict[str, Any]) -> bool:
    view = request.query_params.get("listViewType", "All")
    archived = bool(properties.get("isArchived"))
    return view == "All" or archived == (view == "ArchivedOnly")


def _matches(request: Request, document: Document) -> bool:
    """Whether the version has the tags, the stage and the content hash that the query asks for."""
    query, given = request.query_params, document["properties"]
    for wanted in filter(None, query.get("tags", "").split(",")):
        key, _, value = wanted.partition("=")
        if key not in given["tags"] or (value and given["tags"][key] != value):
            return False
    if "stage" in query and query["stage"] != given.get("stage"):
        return False
    return "hash" not in query or query["hash"] == given["properties"].get("hash_sha256")


MODELS = Assets("models", ("modelUri",), kinds.model)
DATA = Assets("data", ("dataUri",), kinds.data)
CODES = Assets("codes", ("codeUri",), kinds.code)
ENVIRONMENTS = Assets("environments", ("image", "condaFile", "build"), kinds.environment)
COMPONENTS = Assets("components", ("componentSpec",), kinds.component)

_REGISTRY_UPLOAD = REGISTRY + "/tempdatarefs/{name}/versions/{version}"
routes = [route(_REGISTRY_UPLOAD, PUT=MODELS.start_upload)]
routes += [found for assets in (MODELS, DATA, CODES, ENVIRONMENTS, COMPONENTS) for found in assets.routes()]
