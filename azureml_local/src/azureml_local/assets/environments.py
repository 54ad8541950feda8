"""Environments: which one a reference names, and what Python and packages it asks for."""

from __future__ import annotations

import re

from azureml_local.assets import kinds, packages, versions
from azureml_local.assets.packages import Packages
from azureml_local.errors import NotFound
from azureml_local.state.documents import assets
from azureml_local.state.workspace import WorkspaceState

_REFERENCE = re.compile(
    r"(?P<registry>.*registries/[^/]+/)?(?:.*/)?environments/(?P<name>[^/]+)"
    r"/(?P<by>versions|labels)/(?P<version>[^/]+)$",
    re.IGNORECASE,
)
_SHORT = re.compile(r"azureml:(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))$", re.IGNORECASE)


def asked(state: WorkspaceState, reference: str) -> Packages | None:
    """What the environment asks for; None where it is an image alone, or one of Azure's that is not known.

    Raises BadRequest for a conda file that only conda could build.
    """
    found = _REFERENCE.match(reference) or _SHORT.match(reference)
    if found is None:
        return None
    groups = found.groupdict()
    name, version = groups["name"], groups["version"]
    registry = groups.get("registry")
    kind = assets("environments", registry=bool(registry))
    store = state.store.of_registry(registry.split("/")[-2]) if registry else state.store
    if version is None or (groups.get("by") or "").casefold() == "labels":
        try:
            version = versions.latest(store, kind, name)
        except NotFound:
            version = ""
    document = store.get(kind, f"{name}/{version}")
    conda = None if document is None else document["properties"].get("condaFile")
    if conda:
        return packages.of_conda(str(conda))
    is_azures = document is None or kinds.is_curated(name)
    return packages.of_curated(name) if is_azures else None
