"""Microsoft's OpenAPI documents (Swagger 2.0) as a contract: what operation a call is, what is wrong with it.

Where the documents say less than the service does, the service counts: a null is an absent property, and
types that the documents take from files that are not at hand are stated here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from jsonschema import Draft7Validator, FormatChecker, ValidationError

from tests.support.checkout import SHARED

DOCUMENTS = SHARED / "openapi" / "2024-04-01"
_NAMES = ("mfe.json", "machineLearningServices.json", "registries.json")
_METHODS = ("get", "put", "post", "patch", "delete", "head")

Direction = Literal["request", "response"]
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_ERROR: Schema = {
    "type": "object",
    "properties": {
        "code": _TEXT,
        "message": _TEXT,
        "target": _TEXT,
        "details": {"type": "array", "items": {"$ref": "#/definitions/common.ErrorDetail"}},
        "additionalInfo": {"type": "array", "items": {"type": "object"}},
    },
}
_RESOURCE: Schema = {
    "type": "object",
    "properties": {"id": _TEXT, "name": _TEXT, "type": _TEXT, "systemData": {"type": "object"}},
}
_TAGS: Schema = {"type": "object", "additionalProperties": _TEXT}
# What Resource Manager has in common: the documents refer to it by file.
_COMMON: Mapping[str, Schema] = {
    "common.ErrorDetail": _ERROR,
    "common.ErrorResponse": {"type": "object", "properties": {"error": _ERROR}, "required": ["error"]},
    "common.Resource": _RESOURCE,
    "common.ProxyResource": _RESOURCE,
    "common.TrackedResource": {
        **_RESOURCE,
        "properties": {**_RESOURCE["properties"], "location": _TEXT, "tags": _TAGS},
        "required": ["location"],
    },
    "common.Sku": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "tier": {"$ref": "#/definitions/common.SkuTier"},
            "size": _TEXT,
            "family": _TEXT,
            "capacity": {"type": "integer"},
        },
        "required": ["name"],
    },
    "common.SkuTier": {"enum": ["Free", "Basic", "Standard", "Premium"]},
    "common.ManagedServiceIdentity": {
        "type": "object",
        "properties": {
            "type": {"$ref": "#/definitions/common.ManagedServiceIdentityType"},
            "principalId": _TEXT,
            "tenantId": _TEXT,
            "userAssignedIdentities": {"type": "object"},
        },
        "required": ["type"],
    },
    "common.ManagedServiceIdentityType": _TEXT,
    "common.PrivateEndpoint": {"type": "object", "properties": {"id": _TEXT}},
    "common.OperationListResult": {"type": "object"},
}

_formats = FormatChecker(formats=())


@_formats.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    return not isinstance(value, str) or bool(datetime.fromisoformat(value))


@_formats.checks("duration")
def _is_duration(value: object) -> bool:
    pattern = r"P(?!$)(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?"
    return not isinstance(value, str) or re.fullmatch(pattern, value) is not None


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    id: str
    method: str
    template: str
    document: str
    definition: Mapping[str, Any]
    parameters: tuple[Mapping[str, Any], ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        parts = re.split(r"\{(\w+)\}", self.template)
        text = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part) for index, part in enumerate(parts)
        )
        return re.compile(text + "/?", re.IGNORECASE)


@dataclass(frozen=True)
class Contract:
    """All operations, and the schemas of both directions by document."""

    operations: tuple[Operation, ...]
    schemas: Mapping[tuple[str, Direction], Mapping[str, Schema]]
    # What was said before: clients that wait say and hear the same again and again.
    _validators: dict[tuple[str, Direction, str], Draft7Validator] = field(default_factory=dict, repr=False)
    _found: dict[tuple[str, Direction, str, str], list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls) -> Contract:
        """The three documents at hand."""
        documents = {name: json.loads((DOCUMENTS / name).read_text()) for name in _NAMES}
        directions: tuple[Direction, ...] = ("request", "response")
        return cls(
            tuple(op for name in documents for op in _operations(documents, name)),
            {(name, way): _schemas(documents[name], way) for name in documents for way in directions},
        )

    def find(self, method: str, path: str) -> Operation | None:
        """The operation that such a call is, None when the documents have none."""
        for operation in self.operations:
            if operation.method == method.upper() and operation.pattern.fullmatch(path):
                return operation
        return None

    def request_findings(self, operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
        """What of the request is not as the document has it."""
        found: list[str] = []
        for parameter in operation.parameters:
            if parameter["in"] == "body":
                if body is not None or parameter.get("required"):
                    found += self._findings(operation, "request", parameter["schema"], body)
            elif parameter["in"] == "query":
                found += _query_findings(parameter, query)
        return found

    def response_findings(
        self, operation: Operation, status: int, headers: Mapping[str, str], body: Any
    ) -> list[str]:
        """What of the answer is not as the document has it."""
        responses = operation.definition["responses"]
        response = responses.get(str(status), responses.get("default"))
        if response is None or (status < 400 and str(status) not in responses):
            return [f"status {status} is not among {', '.join(sorted(responses))}"]
        found: list[str] = []
        if status in (201, 202) and operation.definition.get("x-ms-long-running-operation"):
            names = {name.lower() for name in headers}
            if not names & {"azure-asyncoperation", "location"}:
                found.append("a long operation without Azure-AsyncOperation or Location")
        if "schema" in response and (body is not None or status < 400):
            found += self._findings(operation, "response", response["schema"], body)
        return found

    def schema(self, operation: Operation, way: Direction, schema: Schema) -> Schema:
        """A schema of the operation that stands by itself."""
        return {
            **_convert(schema, way),
            "definitions": dict(self.schemas[operation.document, way]),
        }

    def _findings(self, operation: Operation, way: Direction, schema: Schema, body: Any) -> list[str]:
        place = (operation.id, way, json.dumps(schema, sort_keys=True))
        said = (*place, json.dumps(body, sort_keys=True))
        if said not in self._found:
            if place not in self._validators:
                whole = self.schema(operation, way, schema)
                self._validators[place] = Draft7Validator(whole, format_checker=_formats)
            errors = self._validators[place].iter_errors(_without_nulls(body))
            self._found[said] = sorted({finding for error in errors for finding in _describe(error)})
        return self._found[said]


def _operations(documents: Mapping[str, Any], name: str) -> Iterator[Operation]:
    for template, item in documents[name]["paths"].items():
        shared = item.get("parameters", [])
        for method in _METHODS:
            if method not in item:
                continue
            given = [*shared, *item[method].get("parameters", [])]
            parameters = [_parameter(documents, name, p) for p in given]
            yield Operation(
                id=item[method]["operationId"],
                method=method.upper(),
                template=template,
                document=name,
                definition=item[method],
                parameters=tuple(p for p in parameters if p is not None),
            )


def _parameter(documents: Mapping[str, Any], name: str, given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The parameter behind a reference; the common ones, of subscription, group and version, are left out."""
    reference = given.get("$ref")
    if reference is None:
        return given
    if "common-types" in reference:
        return None
    file, _, key = reference.partition("#/parameters/")
    found: Mapping[str, Any] = documents[file or name]["parameters"][key]
    return found


def _schemas(document: Mapping[str, Any], way: Direction) -> dict[str, Schema]:
    """The definitions as JSON schemas: inheritance flattened, a base with a discriminator picks its heir."""
    raw = document["definitions"]
    schemas: dict[str, Schema] = {name: dict(schema) for name, schema in _COMMON.items()}
    for name in raw:
        schemas[f"{name}.plain"] = _flat(raw, name, way)
        schemas[name] = _chosen(raw, name)
    return schemas


def _flat(raw: Mapping[str, Any], name: str, way: Direction) -> Schema:
    """A definition with what it inherits; `additionalProperties` then means all of it."""
    own = raw[name] if name in raw else _COMMON[name]
    properties: dict[str, Any] = {}
    required: set[str] = set()
    open_ended: Any = own.get("additionalProperties")
    for parent in own.get("allOf", ()):
        base = _flat(raw, _name(parent["$ref"]), way)
        properties |= base.get("properties", {})
        required |= set(base.get("required", ()))
    converted = _convert({k: v for k, v in own.items() if k not in ("allOf", "required")}, way)
    mine = own.get("properties", {})
    read_only = {key for key, schema in mine.items() if schema.get("readOnly")} if way == "request" else set()
    converted["properties"] = properties | converted.get("properties", {})
    converted["required"] = sorted((required | set(own.get("required", ()))) - read_only)
    if open_ended is not None:
        converted["additionalProperties"] = (
            open_ended if isinstance(open_ended, bool) else _convert(open_ended, way)
        )
    return {k: v for k, v in converted.items() if v not in ({}, [])}


def _chosen(raw: Mapping[str, Any], name: str) -> Schema:
    discriminator = raw[name].get("discriminator")
    chosen: Schema = {"$ref": f"#/definitions/{name}.plain"}
    if discriminator is None:
        return chosen
    for heir, schema in raw.items():
        if "x-ms-discriminator-value" in schema and name in _ancestors(raw, heir):
            value = {"const": schema["x-ms-discriminator-value"]}
            chosen = {
                "if": {"required": [discriminator], "properties": {discriminator: value}},
                "then": {"$ref": f"#/definitions/{heir}.plain"},
                "else": chosen,
            }
    return chosen


def _ancestors(raw: Mapping[str, Any], name: str) -> set[str]:
    parents = {_name(parent["$ref"]) for parent in raw.get(name, {}).get("allOf", ())}
    return parents.union(*(_ancestors(raw, parent) for parent in parents))


def _convert(schema: Any, way: Direction) -> Any:
    """A schema without what is Swagger's own, its references led to our names."""
    if isinstance(schema, list):
        return [_convert(each, way) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": f"#/definitions/{_name(schema['$ref'])}"}
    return {
        key: {name: _convert(each, way) for name, each in value.items()}
        if key == "properties"
        else _convert(value, way)
        for key, value in schema.items()
        if key not in ("discriminator", "description", "example", "readOnly", "title", "default")
        and not key.startswith("x-")
    }


def _name(reference: str) -> str:
    file, _, name = reference.partition("#/definitions/")
    return f"common.{name}" if "common-types" in file else name


def _query_findings(parameter: Mapping[str, Any], query: Mapping[str, str]) -> Iterator[str]:
    name = parameter["name"]
    folded = {key.lower(): value for key, value in query.items()}
    value = folded.get(name.lower())
    if value is None:
        if parameter.get("required"):
            yield f"query parameter {name} is missing"
    elif "enum" in parameter and value not in parameter["enum"]:
        yield f"query parameter {name} is {value!r}"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return value


def _describe(error: ValidationError) -> Iterator[str]:
    """What is wrong, and where: names of map entries and positions in lists are stars."""
    where = ".".join(_where(error))
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        schema: Any = error.schema
        unknown = set(instance) - set(schema.get("properties", ()))
        yield from (f"unknown property {where}.{name}".replace(" .", " ") for name in unknown)
    elif error.validator == "required":
        # jsonschema tells of each missing name in an error of its own
        name = error.message.split("'")[1]
        yield f"missing property {where}.{name}".replace(" .", " ")
    elif error.validator == "enum":
        yield f"value {error.instance!r} of {where} is not in the document"
    else:
        yield f"{error.validator} of {where} is not {error.validator_value!r}"


def _where(error: ValidationError) -> Iterator[str]:
    path = iter(error.absolute_path)
    schema_path = list(error.absolute_schema_path)[:-1]
    index = 0
    while index < len(schema_path):
        step = schema_path[index]
        if step == "properties":
            yield str(next(path))
            index += 1  # the name follows
        elif step in ("additionalProperties", "items"):
            next(path)
            yield "*"
        index += 1
