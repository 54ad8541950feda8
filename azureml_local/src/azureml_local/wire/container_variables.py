"""The variables that the service adds to a deployment's own once its container runs (recorded in 2024)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from azureml_local.assets import addresses
from azureml_local.errors import ServiceError
from azureml_local.state.endpoint_documents import CodeSettings
from azureml_local.state.workspace import WorkspaceState

_ROOT = "/var/azureml-app"
_MODEL = re.compile(r".*/models/(?P<name>[^/]+)/versions/(?P<version>[^/]+)$", re.IGNORECASE)


def added(state: WorkspaceState, model: str | None, code: CodeSettings | None) -> dict[str, str]:
    """Where the model and the code lie in the container, as far as there are any."""
    found: dict[str, str] = {}
    if model is not None and (match := _MODEL.match(model)):
        found["AZUREML_MODEL_DIR"] = f"{_ROOT}/azureml-models/{match['name']}/{match['version']}"
    if code is not None:
        found["AZUREML_ENTRY_SCRIPT"] = code["scoringScript"]
        if folder := _folder(state, code["codeId"]):
            found["AML_APP_ROOT"] = f"{_ROOT}/{folder}"
    return found


def own(given: Mapping[str, str], service: Mapping[str, str]) -> dict[str, str]:
    """The variables of a request without those that the client has only read and sends back."""
    return {name: value for name, value in given.items() if service.get(name) != value}


def _folder(state: WorkspaceState, code: str) -> str | None:
    """The name of the folder that the code was uploaded as; None where it cannot be found."""
    try:
        return addresses.resolve(state, code).name
    except ServiceError:
        return None
