"""The addresses of data, in all the forms that clients write them, and where the data lies on disk."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from azureml_local.assets import versions
from azureml_local.errors import BadRequest, NotFound
from azureml_local.settings import ARTIFACT_DATASTORE, REGISTRY_CONTAINER, Settings
from azureml_local.state.documents import JOBS, WORKSPACES, AssetDocument, assets
from azureml_local.state.external_data import is_external
from azureml_local.state.job_documents import outputs_of
from azureml_local.state.workspace import WorkspaceState

_DATASTORE = re.compile(
    r"azureml://(?:.*/)?datastores/(?P<datastore>[^/]+)/paths/?(?P<path>.*)$", re.IGNORECASE
)
_OUTPUT = re.compile(
    r"azureml://(?:.*/)?jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths)?/?(?P<path>.*)$",
    re.IGNORECASE,
)
_RUN = re.compile(r"runs:/(?P<job>[^/]+)/?(?P<path>.*)$")
_WITHIN = re.compile(
    r".*/resourcegroups/(?P<group>[^/]+)/(?:providers/[^/]+/)?workspaces/(?P<name>[^/]+)/", re.IGNORECASE
)
# Run artifacts and uploaded ones as azureml-mlflow writes them.
_RUN_ARTIFACT = re.compile(r"azureml://.*/runs/(?P<job>[^/]+)/artifacts/?(?P<path>.*)$")
_ARTIFACT = re.compile(r"azureml://artifacts/(?P<path>[^/]+/[^/]+/.+)$")
_REGISTRY = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)/(?P<collection>\w+)/(?P<name>[^/]+)"
    r"/(?P<by>versions|labels)/(?P<version>[^/]+)$",
    re.IGNORECASE,
)
_ASSET = re.compile(
    r".*/workspaces/[^/]+/(?P<collection>\w+)/(?P<name>[^/]+)/(?P<by>versions|labels)/(?P<version>[^/]+)$",
    re.IGNORECASE,
)
# The data asset that an output of a run is in run history, as seen in recorded traffic.
_RUN_OUTPUT = re.compile(r"azureml_(?P<job>.+)_output_data_(?P<output>\w+)")
_SHORT_ASSET = re.compile(r"(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))$")

# The property that holds an asset's data, by collection.
ASSET_URIS = {"data": "dataUri", "models": "modelUri", "codes": "codeUri"}


@dataclass(frozen=True)
class Place:
    """A path in a datastore's container, without a leading slash."""

    datastore: str
    path: str

    def uri(self, settings: Settings) -> str:
        """The long form, which names the workspace as well."""
        return (
            f"azureml://subscriptions/{settings.subscription_id}/resourcegroups/{settings.resource_group}"
            f"/workspaces/{settings.workspace}/datastores/{self.datastore}/paths/{self.path}"
        )


def resolve(state: WorkspaceState, uri: str) -> Path:
    """The local file or folder behind an address; raises BadRequest (unknown form) or NotFound (no data).

    Known are datastore paths, job outputs, `runs:/`, assets by id or short name, those of the registry, this
    server's blobs by URL, and external data for which there is a rule. A registry model's weights are made on
    first use.
    """
    address = _follow(state, _bare(uri))
    if match := _REGISTRY.match(address):
        path = _registry_asset(state, match)
    elif _is_own(state, address):
        path = _blob(state, address)
    elif is_external(address):
        path = state.external.resolve(address)
    else:
        place = locate(state, address)
        path = state.blobs.datastore_path(place.datastore, place.path)
    if not path.exists():
        raise NotFound(f"There is no data at {uri}.", code="DataNotFound")
    return path


def check(state: WorkspaceState, uri: str) -> None:
    """Raise NotFound or BadRequest when there can be no data at the address; none need be there."""
    address = _follow(state, _bare(uri))
    if match := _REGISTRY.match(address):
        _registry_document(state, match)
    elif is_external(address) and not _is_own(state, address):
        state.external.check(address)
    elif not is_external(address):
        locate(state, address)


def locate(state: WorkspaceState, uri: str) -> Place:
    """The place in a datastore that an address means, with data or without; raises as `resolve` does."""
    address = _follow(state, _bare(uri))
    if match := _DATASTORE.match(address):
        _check_workspace(state, address)
        return Place(match["datastore"], match["path"].strip("/"))
    if match := _OUTPUT.match(address):
        return _job_output(state, match["job"], match["output"], match["path"].strip("/"))
    if match := _ARTIFACT.match(address):
        return Place(ARTIFACT_DATASTORE, match["path"].strip("/"))
    if match := _RUN.match(address) or _RUN_ARTIFACT.match(address):
        return _job_output(state, match["job"], "artifacts", match["path"].strip("/"))
    raise BadRequest(
        f"{uri!r} is not a known address of data: use azureml://datastores/DATASTORE/paths/PATH, "
        "azureml:NAME:VERSION or azureml://jobs/JOB/outputs/OUTPUT.",
        code="InvalidUri",
    )


def direct(state: WorkspaceState, uri: str) -> str:
    """What a step is given of data whose address alone it wants: where it lies, with the workspace named."""
    address = _follow(state, _bare(uri))
    if _REGISTRY.match(address) or is_external(address):
        return address
    return locate(state, address).uri(state.settings)


def _bare(uri: str) -> str:
    """Without the `azureml:` that may precede an id, and without the kinds mlflow and data inputs prepend."""
    for prefix in ("file:", "folder:"):
        uri = uri.removeprefix(prefix)
    if uri.startswith("azureml:") and not uri.startswith("azureml://"):
        return uri.removeprefix("azureml:")
    return uri


def _follow(state: WorkspaceState, address: str) -> str:
    """The address that an asset keeps of its data, for an asset's id or short name; others as they are."""
    if _REGISTRY.match(address) or _DATASTORE.match(address):
        return address
    if match := _ASSET.match(address):
        _check_workspace(state, address)
        version = match["version"]
        if match["by"].lower() == "labels":
            version = versions.latest(state.store, assets(match["collection"]), match["name"])
        return _asset_uri(state, match["collection"], match["name"], version)
    if match := _SHORT_ASSET.match(address):
        return _short_asset_uri(state, match)
    return address


def _check_workspace(state: WorkspaceState, address: str) -> None:
    """Raise BadRequest for an address in another workspace of this server.

    On Azure whoever has the roles may read there. Names of workspaces that are not here mean this one, as in
    scripts that were written for Azure.
    """
    match, first = _WITHIN.match(address), state.first or state
    if match is None or match["name"].casefold() == state.settings.workspace.casefold():
        return
    named = f"{match['group']}/{match['name']}".lower()
    own = f"{first.settings.resource_group}/{first.settings.workspace}".lower()
    if named == own or first.store.get(WORKSPACES, named) is not None:
        raise BadRequest(
            f"{address} is in the workspace {match['name']}: data of another workspace is not read here. "
            f"Upload it to {state.settings.workspace}, or share it by a registry.",
            code="InvalidUri",
        )


def _job_output(state: WorkspaceState, job: str, output: str, path: str) -> Place:
    if output in ("artifacts", "default"):
        return Place(ARTIFACT_DATASTORE, "/".join(p for p in (f"ExperimentRun/dcid.{job}", path) if p))
    document = state.store.get(JOBS, job)
    if document is None:
        raise NotFound(f"The job {job} does not exist.", code="JobNotFound")
    found = outputs_of(document).get(output)
    if found is None or not found.get("uri"):
        raise NotFound(f"The job {job} has no output {output!r}.", code="OutputNotFound")
    base = locate(state, found["uri"])
    return Place(base.datastore, "/".join(p for p in (base.path, path) if p))


def _asset_uri(state: WorkspaceState, collection: str, name: str, version: str) -> str:
    document = state.store.get(assets(collection), f"{name}/{version}")
    if document is None and (match := _RUN_OUTPUT.fullmatch(name)):
        return f"azureml://jobs/{match['job']}/outputs/{match['output']}"
    uri = document["properties"].get(ASSET_URIS.get(collection, "")) if document else None
    if not isinstance(uri, str):
        raise NotFound(f"The asset {collection}/{name}:{version} does not exist or has no data.")
    return uri


def _short_asset_uri(state: WorkspaceState, match: re.Match[str]) -> str:
    """A short name does not say of what: data comes first, then models."""
    for collection in ("data", "models"):
        if state.store.list(assets(collection), f"{match['name']}/", limit=1):
            version = match["version"] or versions.latest(state.store, assets(collection), match["name"])
            return _asset_uri(state, collection, match["name"], version)
    raise NotFound(f"There is no data asset or model named {match['name']!r}.")


def stored_uri(state: WorkspaceState, uri: str) -> str:
    """The address in the storage account of a registry asset's files, made or yet to be made.

    Other addresses are returned as they are; raises NotFound for an asset that does not exist.
    """
    match = _REGISTRY.match(uri)
    if match is None:
        return uri
    document = _registry_document(state, match)
    kept = _kept_uri(match, document)
    if kept.startswith("https://"):
        return kept
    from azureml_local import catalogue  # late, as in _registry_asset

    folder = catalogue.place(document["name"], document["version"], state.settings.cache_path)
    return f"{(state.first or state).settings.blob_url}/{REGISTRY_CONTAINER}/{folder.name}"


def container(state: WorkspaceState, url: str) -> str:
    """The container that a URL of this server's blobs is of; raises BadRequest for other URLs."""
    return _blob_name(state, url)[0]


def _registry_asset(state: WorkspaceState, match: re.Match[str]) -> Path:
    document = _registry_document(state, match)
    uri = _kept_uri(match, document)
    if uri.startswith("https://"):  # uploaded by a client
        return _blob(state, uri)
    # Late: reads and converts weights, which only a job or a deployment wants.
    from azureml_local import catalogue

    return catalogue.materialise(document["name"], document["version"], state.settings.cache_path)


def _registry_document(state: WorkspaceState, match: re.Match[str]) -> AssetDocument:
    collection, name, version = match["collection"].lower(), match["name"], match["version"]
    if collection not in ASSET_URIS:
        raise BadRequest(f"A registry's {match['collection']} are not data.", code="InvalidUri")
    kind, store = assets(collection, registry=True), state.store.of_registry(match["registry"])
    if match["by"].lower() == "labels":
        version = versions.latest(store, kind, name)
    document = store.get(kind, f"{name}/{version}")
    if document is None:
        raise NotFound(f"The registry has no {collection.removesuffix('s')} {name} of version {version}.")
    return document


def _kept_uri(match: re.Match[str], document: AssetDocument) -> str:
    """The address that an asset of the registry keeps of its data."""
    return str(document["properties"].get(ASSET_URIS[match["collection"].lower()], ""))


def _blob(state: WorkspaceState, url: str) -> Path:
    owner = _owner(state, url) or state
    return owner.blobs.path(*_blob_name(state, url))


def _is_own(state: WorkspaceState, url: str) -> bool:
    """Whether it is a URL of blobs that this server keeps for the workspace or a registry."""
    return _owner(state, url) is not None


def _owner(state: WorkspaceState, url: str) -> WorkspaceState | None:
    """The workspace or registry whose blob the URL is, whatever the port: it may have been another once."""
    try:
        parts = urlsplit(url)
    except ValueError:  # a host that is none
        return None
    if parts.hostname != "localhost":
        return None
    path, kept = unquote(parts.path), (state, state.first or state, *state.registries.values())
    return next((each for each in kept if path.startswith(each.settings.blob_path + "/")), None)


def _blob_name(state: WorkspaceState, url: str) -> tuple[str, str]:
    """The container and the name in it that a URL of this server's blobs means."""
    owner = _owner(state, url)
    if owner is None:
        raise BadRequest(f"{url} is not in this workspace's storage.")
    path = unquote(urlsplit(url).path)
    container, _, name = path.removeprefix(owner.settings.blob_path + "/").partition("/")
    return container, name.strip("/")
