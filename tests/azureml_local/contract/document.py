"""The contract as OpenAPI documents that stand by themselves, to make up requests from."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from tests.azureml_local.contract.openapi import Contract, Operation, Schema

_ANY_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 12, "pattern": "^[a-z0-9-]+$"}
_JSON = ["application/json"]


def documents(
    contract: Contract, served: Collection[str], names: Mapping[str, Collection[str]]
) -> Iterator[dict[str, Any]]:
    """One document of the operations that are served, for each that has any.

    `names` are values for the parameters in paths; any name will do where there are none.
    """
    for document in sorted({operation.document for operation in contract.operations}):
        paths: dict[str, Any] = {}
        for operation in contract.operations:
            if operation.document == document and operation.id in served:
                paths.setdefault(operation.template, {})[operation.method.lower()] = _item(operation, names)
        if paths:
            yield {
                "swagger": "2.0",
                "info": {"title": document, "version": "2024-04-01"},
                "paths": paths,
                "definitions": dict(_definitions(contract.schemas[document, "request"])),
            }


def _item(operation: Operation, names: Mapping[str, Collection[str]]) -> dict[str, Any]:
    parameters = [_plain(each) for each in operation.parameters if each["in"] != "path"]
    for name in re.findall(r"\{(\w+)\}", operation.template):
        schema: Schema = {"type": "string", "enum": list(names[name])} if name in names else _ANY_NAME
        parameters.append({"name": name, "in": "path", "required": True, **schema})
    return {
        "operationId": operation.id,
        "consumes": _JSON,
        "produces": _JSON,
        "parameters": parameters,
        "responses": {"default": {"description": "see the contract"}},
    }


def _definitions(schemas: Mapping[str, Schema]) -> Iterator[tuple[str, Schema]]:
    """A base is any of its heirs, each with its own value of the discriminator."""
    for name, schema in schemas.items():
        if "if" not in schema:
            yield name, schema
            continue
        heirs = []
        while "if" in schema:
            (discriminator, value) = next(iter(schema["if"]["properties"].items()))
            heirs.append((schema["then"]["$ref"], discriminator, value["const"]))
            schema = schema["else"]
        yield name, {"anyOf": [{"$ref": reference} for reference, _, _ in heirs]}


def _plain(parameter: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in parameter.items() if not key.startswith("x-")}
    if "schema" in kept:
        reference = kept["schema"]["$ref"].rpartition("/")[2]
        kept["schema"] = {"$ref": f"#/definitions/{reference}"}
    return kept
