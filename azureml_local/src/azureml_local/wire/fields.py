"""What a request's object holds under a name, checked for its type. All raise BadRequest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from azureml_local.errors import BadRequest


def text(given: Mapping[str, Any], name: str) -> str | None:
    """A property that is a string or missing."""
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise refused(name, "it must be a string")
    return value


def texts(given: Mapping[str, Any], name: str) -> dict[str, str]:
    """A property that is an object of strings, empty when missing.

    As the service does, numbers and truth values are kept as text and null as the empty string: the SDK
    itself sends the version of a code hash as a number.
    """
    value = given.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict) or any(isinstance(each, dict | list) for each in value.values()):
        raise refused(name, "it must be an object of strings")
    return {key: _plain(each) for key, each in value.items()}


def record(given: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A property that is an object of anything, or missing."""
    value = given.get(name)
    if value is not None and not isinstance(value, dict):
        raise refused(name, "it must be an object")
    return value


def identity(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """A managed identity without what is null in it, or none."""
    value = record(given, "identity")
    if not value:
        return None
    if not isinstance(value.get("type"), str):
        raise refused("identity.type", "an identity needs a type such as SystemAssigned")
    record(value, "userAssignedIdentities")
    return {name: each for name, each in value.items() if each is not None}


def refused(target: str, why: str) -> BadRequest:
    """The error that says why a property cannot be what it is."""
    return BadRequest(f"The property {target} is not valid: {why}.", code="BadArgument", target=target)


def _plain(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
