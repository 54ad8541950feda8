"""The body of a request to create a version of an asset, checked."""

from __future__ import annotations

import re
from typing import Any

from azureml_local.assets import kinds
from azureml_local.errors import BadRequest
from azureml_local.state.document import Json
from azureml_local.state.workspace import WorkspaceState
from azureml_local.wire import component_of_job, component_spec, fields
from azureml_local.wire.fields import text

_SYSTEMS = ("Linux", "Windows")


def model(state: WorkspaceState, name: str, version: str, given: Json) -> Json:
    """The properties of a model as they are kept; raises BadRequest."""
    _required_text(given, "modelUri")
    return kinds.model(state, given)


def data(state: WorkspaceState, name: str, version: str, given: Json) -> Json:
    """The properties of a data asset as they are kept; raises BadRequest."""
    _required_text(given, "dataUri")
    check_data_type(given)
    return kinds.data(state, given)


def code(state: WorkspaceState, name: str, version: str, given: Json) -> Json:
    """The properties of a code asset as they are kept; raises BadRequest."""
    _required_text(given, "codeUri")
    return given


def environment(state: WorkspaceState, name: str, version: str, given: Json) -> Json:
    """The properties of an environment as they are kept; nothing is built. Raises BadRequest."""
    given = {key: value for key, value in given.items() if value is not None}
    build = fields.record(given, "build") or {}
    texts = [text(given, "image"), text(given, "condaFile"), text(build, "contextUri")]
    text(build, "dockerfilePath")
    if not any(texts):
        raise BadRequest("An environment needs an image, a build context or a conda file.", target="image")
    system = given.get("osType") or "Linux"
    if system not in _SYSTEMS:
        raise BadRequest(f"osType must be one of {', '.join(_SYSTEMS)}.", target="osType")
    for route, described in (fields.record(given, "inferenceConfig") or {}).items():
        if not _is_route(described):
            raise BadRequest(f"inferenceConfig.{route} needs a path and a port.", target="inferenceConfig")
    return {"environmentType": "UserCreated", "autoRebuild": "Disabled"} | given | {"osType": system}


def _is_route(described: Any) -> bool:
    """Whether it is a Route of the OpenAPI document: a path that is not only signs, and a port."""
    if not isinstance(described, dict) or not isinstance(described.get("path"), str):
        return False
    port = described.get("port")
    has_port = isinstance(port, int) and not isinstance(port, bool)
    return has_port and re.search("[a-zA-Z0-9_]", described["path"]) is not None


def component(state: WorkspaceState, name: str, version: str, given: Json) -> Json:
    """The properties of a component as they are kept; raises BadRequest."""
    spec = given.get("componentSpec")
    if not isinstance(spec, dict) or not isinstance(spec.get("type"), str):
        raise BadRequest("A component needs an object 'componentSpec' with a 'type'.", target="componentSpec")
    kinds.check_environment(state, spec.get("environment"))
    spec = component_of_job.filled(state, spec)
    # One without a name of its own keeps what it calls itself, as azure-ai-ml's tests expect.
    said = spec if name == component_spec.ANONYMOUS else {}
    called = {"name": text(said, "name") or name, "version": text(said, "version") or version}
    kept = component_spec.normalised(spec) | called
    return given | {"description": None, "componentSpec": kept}  # the description stands in the specification


def check_data_type(given: Json) -> None:
    """Raise BadRequest unless `dataType` is one that there is."""
    if given.get("dataType") not in kinds.DATA_TYPES:
        raise BadRequest(f"dataType must be one of {', '.join(kinds.DATA_TYPES)}.", target="dataType")


def _required_text(given: Json, name: str) -> None:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequest(f"The property {name} is missing.", target=name)
