"""A component's specification as the service keeps it, and what of it may change later.

Recorded in 2022: every scalar comes back as text, inputs that are data before those that are values, each
saying whether it is optional; environments of the registry `azureml` by their version there. One thing of
then is left out: a $schema of `componentsdk.azureedge.net` was added where none was sent, at which today's
azure-ai-ml (1.35) stops, so that it cannot be so any more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from azureml_local.errors import BadRequest
from azureml_local.state.document import Json

ANONYMOUS = "azureml_anonymous"  # the name of every component that has none of its own
_VALUES = frozenset({"string", "integer", "number", "boolean"})
# The service's own words for how processes find each other. Recorded for the first; the others are assumed.
_DISTRIBUTIONS = {"mpi": "Mpi", "pytorch": "PyTorch", "tensorflow": "TensorFlow"}
_CURATED = re.compile(r"azureml:(?P<name>AzureML-[^:@/]+)(?::(?P<version>[^:@/]+)|@[^:@/]+)$", re.I)
_NEWEST = "1"  # of a curated environment, as long as nobody has asked for another (wire/asset.py)
# What a person says about a component, and what follows from where it is kept.
_SAID = frozenset({"description", "display_name", "tags", "id", "$schema", "name", "version"})


def normalised(spec: Json) -> Json:
    """The specification as it is kept."""
    # The nodes of a pipeline component are jobs, of which nothing was recorded.
    kept: Json = {
        key: value if key == "jobs" else _text(value) for key, value in spec.items() if key != "_source"
    }
    if isinstance(kept.get("inputs"), dict):
        kept["inputs"] = _inputs(kept["inputs"])
    if isinstance(kept.get("environment"), str):
        kept["environment"] = _environment(kept["environment"])
    if isinstance(kept.get("distribution"), dict):
        kept["distribution"] = _distribution(kept["distribution"])
    if str(kept.get("type", "")).casefold() == "command":
        kept["resources"] = {"instance_count": "1", **(kept.get("resources") or {})}
    return kept


def version_of(spec: Json) -> str:
    """The version of an anonymous component: the same for the same content, whatever the client has said."""
    content = {key: value for key, value in spec.items() if key not in ("id", "version")}
    return str(uuid5(NAMESPACE_OID, json.dumps(content, sort_keys=True)))


def check_change(name: str, kept: Json, given: Json) -> None:
    """Raise BadRequest, in the service's words, where another specification would change the component."""
    for field in sorted((kept.keys() | given.keys()) - _SAID):
        if kept.get(field) != given.get(field):
            raise BadRequest(
                f'Failed to update component {name} since field "{field}" is immutable, try specifying a new '
                "version.",
                code="UserError",
                inner=("BadArgument", "ArgumentInvalid", "UpdateComponentFailed"),
            )


def changed(kept: Json, given: Json) -> Json:
    """The specification with what is said about the component as it is given."""
    said = _SAID - {"name", "version"}
    return {key: value for key, value in kept.items() if key not in said} | {
        key: value for key, value in given.items() if key in said
    }


def _text(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _text(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_text(each) for each in value]
    return value if value is None or isinstance(value, str) else str(value)


def _inputs(inputs: Mapping[str, Any]) -> Json:
    described = {name: _optional(port) if isinstance(port, dict) else port for name, port in inputs.items()}
    return dict(sorted(described.items(), key=lambda each: _is_value(each[1])))


def _optional(port: Json) -> Json:
    return {**port, "optional": "True" if str(port.get("optional")).casefold() == "true" else "False"}


def _is_value(port: Any) -> bool:
    return isinstance(port, dict) and str(port.get("type", "")).casefold() in _VALUES


def _environment(reference: str) -> str:
    match = _CURATED.match(reference)
    if match is None:
        return reference
    version = match["version"] or _NEWEST
    return f"azureml://registries/azureml/environments/{match['name']}/versions/{version}"


def _distribution(given: Json) -> Json:
    kind = str(given.get("type", ""))
    rest = {key: value for key, value in given.items() if key != "type"}
    return {**rest, "type": _DISTRIBUTIONS.get(kind.casefold(), kind)}
