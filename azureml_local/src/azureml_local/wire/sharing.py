"""Assets shared from a workspace to a registry: azure-ai-ml asks the registry to import them.

Documented (azure-ai-ml, `share` of models, data and environments): the request, and that it ends without a
body, after which the client reads the version. That a version which is there already is refused with 409 is
assumed. Files are copied, so that the registry's stay when the workspace is gone.
"""

from __future__ import annotations

import re
import shutil
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from azureml_local.assets import addresses, versions
from azureml_local.assets.addresses import ASSET_URIS
from azureml_local.errors import Conflict, NotFound
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.state.document import Json
from azureml_local.state.documents import assets
from azureml_local.state.transitions import CREATE_ASSET
from azureml_local.wire.arm import REGISTRY, first_of, properties, route, workspace_of
from azureml_local.wire.asset_collection import NAME, VERSION, check_label
from azureml_local.wire.fields import refused, text
from azureml_local.wire.operation import accepted

_SOURCE = re.compile(
    r"azureml://locations/[^/]+/workspaces/(?P<guid>[^/]+)/(?P<collection>models|data|environments)"
    r"/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)


def share(request: Request) -> Response:
    """Copy a version of a workspace's asset into the registry."""
    registry, given = workspace_of(request), properties(request)
    source = _SOURCE.fullmatch(text(given, "sourceAssetId") or "")
    if source is None:
        raise refused("sourceAssetId", "it must be the id of a workspace's model, data or environment")
    collection = source["collection"].lower()
    workspace, kept = _source(first_of(request), source, collection)
    name = text(given, "destinationName") or source["name"]
    version = text(given, "destinationVersion") or source["version"]
    check_label("destinationName", name, NAME)
    check_label("destinationVersion", version, VERSION)
    kind, full = assets(collection, registry=True), f"{name}/{version}"
    if registry.store.get(kind, full) is not None:
        raise Conflict(f"Asset {name}:{version} already exists.", code="UserError")
    copied = _copied(workspace, registry, collection, kept)
    registry.store.create(kind, full, versions.document(registry.clock, name, version, copied))
    return accepted(request, registry.operations.begin(kind, full, CREATE_ASSET), None, 202)


def _source(first: Workspace, source: re.Match[str], collection: str) -> tuple[Workspace, Json]:
    """The workspace of the asset, and what it keeps of it; raises NotFound."""
    full = f"{source['name']}/{source['version']}"
    for each in neighbours.everyone(first):
        if each.settings.guid == source["guid"].lower():
            document = each.store.get(assets(collection), full)
            if document is not None:
                return each, document["properties"]
    raise NotFound(f"There is no asset {source[0]}.", code="UserError", inner=("NotFound",))


def _copied(workspace: Workspace, registry: Workspace, collection: str, kept: Json) -> Json:
    """What the registry keeps of the asset, whose files it has for itself."""
    copied = {key: value for key, value in kept.items() if key not in ("jobName", "provisioningState")}
    if (key := ASSET_URIS.get(collection)) is not None:
        copied[key] = _files(workspace, registry, str(kept[key]))
    if collection == "environments" and (kept.get("build") or {}).get("contextUri"):
        build = kept["build"]
        copied["build"] = {**build, "contextUri": _files(workspace, registry, str(build["contextUri"]))}
    return copied


def _files(workspace: Workspace, registry: Workspace, uri: str) -> str:
    """The address in the registry of a copy of the files."""
    path, container = addresses.resolve(workspace, uri), str(uuid4())
    registry.blobs.create_container(container)
    target = registry.blobs.path(container, path.name)
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy2(path, target)
    return f"{registry.settings.blob_url}/{container}/{path.name}"


routes = [route(REGISTRY + "/import", POST=share)]
