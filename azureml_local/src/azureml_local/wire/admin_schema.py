"""The admin interface as data: its calls, the JSON schemas of their bodies, and all of it as OpenAPI."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from starlette.requests import Request
from starlette.responses import Response

from azureml_local.state.areas import Area
from azureml_local.state.document import Json
from azureml_local.state.faults import KINDS, Rule

ANYTHING: Json = {}
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": "number", "minimum": 0}
NAMES: Json = {"type": "array", "items": TEXT}
LIST: Json = {"type": "array", "items": {"type": "object"}}
AREAS: Json = {"type": "array", "items": {"enum": list(Area)}}
SNAPSHOT: Json = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}
_SIMPLE: Mapping[Any, Json] = {
    str: TEXT,
    bool: {"type": "boolean"},
    int: {"type": "integer", "minimum": 0},
    float: NUMBER,
    type(None): {"type": "null"},
}


@dataclass(frozen=True)
class Call:
    """One call: what handles it, the schema of the body that it takes, None where none, and of its answer."""

    method: str
    path: str
    handler: Callable[[Request], Response]
    answers: Json
    asks: Json | None = None


def record(_needed: Sequence[str] | None = None, /, **properties: Json) -> Json:
    """The schema of an object with these properties, all of them needed unless it is said which are."""
    needed = list(properties if _needed is None else _needed)
    return {"type": "object", "properties": properties, "required": needed, "additionalProperties": False}


def openapi(calls: Iterable[Call]) -> Json:
    """The calls as an OpenAPI 3.1 document."""
    paths: dict[str, Json] = {}
    for call in calls:
        operation: Json = {
            "summary": (call.handler.__doc__ or "").strip().splitlines()[0],
            "responses": {
                "200": {"description": "Done.", "content": _json(call.answers)},
                "400": {"description": "The body says something that cannot be."},
                "401": {"description": "The secret is missing or wrong."},
            },
        }
        if call.asks is not None:
            operation["requestBody"] = {"required": True, "content": _json(call.asks)}
        paths.setdefault(call.path, {})[call.method.lower()] = operation
    secret = {"type": "apiKey", "in": "header", "name": "X-Admin-Secret"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "azureml-local: admin", "version": "1"},
        "paths": paths,
        "security": [{"secret": []}],
        "components": {"securitySchemes": {"secret": secret}},
    }


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _rule(name: str, kind: type) -> Json:
    """The schema of a fault rule of one kind: when it acts, and what it does."""
    own, when = ({each.name: each for each in fields(one)} for one in (kind, Rule))
    del when["fault"]
    hints = {**get_type_hints(Rule), **get_type_hints(kind)}
    needed = [key for key, each in {**when, **own}.items() if _is_needed(each)]
    properties = {key: _of_type(hints[key]) for key in {**when, **own}}
    return record(["kind", *needed], kind={"const": name}, **properties)


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _of_type(hint: Any) -> Json:
    if hint is Any:
        return ANYTHING
    if get_origin(hint) in (Union, types.UnionType):
        options = [_of_type(each) for each in get_args(hint)]
        return ANYTHING if ANYTHING in options else {"anyOf": options}
    return _SIMPLE.get(hint) or {"type": "object", "additionalProperties": TEXT}


_RULES: Json = {"type": "array", "items": {"oneOf": [_rule(name, kind) for name, kind in KINDS.items()]}}
FAULTS: Json = {"anyOf": [_RULES, record(faults=_RULES)]}
