"""The collections of assets: what they are called, where they answer, and what is particular to each."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from azureml_local.assets import addresses
from azureml_local.errors import BadRequest, NotFound
from azureml_local.state.document import Json, Kind
from azureml_local.state.documents import AssetDocument, assets
from azureml_local.state.workspace import WorkspaceState
from azureml_local.wire import asset_request
from azureml_local.wire.arm import properties, resource, workspace_of
from azureml_local.wire.fields import refused, text, texts

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}$")
VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$")

Check = Callable[[WorkspaceState, str, str, Json], Json]


@dataclass(frozen=True)
class Collection:
    """One collection of the workspace and of the registry.

    `identity` are properties that an existing version keeps for ever. `check` looks at a new version's
    properties, given its name and version, and returns them as they are to be kept.
    """

    name: str
    identity: tuple[str, ...]
    check: Check

    def kind(self, request: Request) -> Kind[AssetDocument]:
        """The versions that the request is about."""
        return assets(self.name, registry=is_registry(request))

    def resource(self, request: Request, document: AssetDocument) -> Json:
        """A version as clients see it."""
        path = f"{base(request)}/{self.name}/{document['name']}/versions/{document['version']}"
        shown: Json = {"provisioningState": "Succeeded"} | document["properties"]
        if self is CODES:
            shown["isAnonymous"] = False  # whatever was sent (recorded in 2022)
        if self is DATA:
            del shown["provisioningState"]  # the one kind that has none
        if self is MODELS and is_registry(request):
            shown["modelUri"] = addresses.stored_uri(workspace_of(request), shown["modelUri"])
        type_ = f"{scope(request)}/{self.name}/versions"
        return resource(path, type_, shown, systemData=document["systemData"])

    def missing(self, request: Request, what: str) -> NotFound:
        """The error for a name, or NAME:VERSION, that is not there."""
        owner = "registry" if is_registry(request) else "workspace"
        if self is COMPONENTS:  # recorded of a name in 2022
            return NotFound(
                f"Not found component {what}.", code="UserError", inner=("NotFound", "ComponentNotFound")
            )
        return NotFound(
            f"The {owner} has no {self.name.removesuffix('s')} {what}.",
            code="UserError",
            inner=("NotFound",),
        )


def is_registry(request: Request) -> bool:
    """Whether the request is about the registry's assets, not the workspace's."""
    return "registry" in request.path_params


def base(request: Request) -> str:
    """How the ids of the assets begin."""
    settings = workspace_of(request).settings
    if is_registry(request):
        return f"azureml://registries/{settings.registry}"
    return settings.workspace_arm_id


def scope(request: Request) -> str:
    """How the types of the assets begin."""
    return "registries" if is_registry(request) else "workspaces"


def given_properties(request: Request) -> Json:
    """The properties of the body, with tags and properties as the objects of strings that they are.

    Without the provisioning state, which is the service's to say (documented: readOnly in OpenAPI
    2024-04-01). Raises BadRequest for a description that is no text, or a mark that is not true or false.
    """
    given = {name: value for name, value in properties(request).items() if name != "provisioningState"}
    text(given, "description")
    for mark in ("isArchived", "isAnonymous"):
        if not isinstance(given.get(mark, False), bool | None):
            raise refused(mark, "it must be true or false")
    said = [field for field in ("tags", "properties") if given.get(field) is not None]
    return given | {field: texts(given, field) for field in said}


def check_label(what: str, text: str, pattern: re.Pattern[str]) -> None:
    """Raise BadRequest unless the name or version is legal."""
    if not pattern.match(text):
        raise BadRequest(
            f"The asset {what} {text[:80]!r} is not valid: letters, digits, '_', '-' and '.', the "
            "first one no '-' or '.'.",
            code="InvalidArgument",
            target=what,
        )


def in_view(request: Request, shown: Json) -> bool:
    """Whether the query's listViewType has things with such properties.

    Documented: OpenAPI 2024-04-01 has ActiveOnly as the default of every list, in workspaces and registries.
    A label is looked up by such a list without the parameter (azure-ai-ml 1.35.2, recorded in 2025).
    """
    view = request.query_params.get("listViewType", "ActiveOnly")
    archived = bool(shown.get("isArchived"))
    return view == "All" or archived == (view == "ArchivedOnly")


MODELS = Collection("models", ("modelUri",), asset_request.model)
DATA = Collection("data", ("dataUri",), asset_request.data)
CODES = Collection("codes", ("codeUri",), asset_request.code)
ENVIRONMENTS = Collection("environments", ("image", "condaFile", "build"), asset_request.environment)
COMPONENTS = Collection("components", ("componentSpec",), asset_request.component)
COLLECTIONS = (MODELS, DATA, CODES, ENVIRONMENTS, COMPONENTS)
