"""The validator itself: the documents' own examples keep the contract, and what breaks it is found."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest

from tests.azureml_local.contract.openapi import DOCUMENTS, Contract, Operation

pytestmark = pytest.mark.skipif(not DOCUMENTS.is_dir(), reason="the OpenAPI documents are not at hand")

WORKSPACE = (
    "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w"  # any names
)
# Values in the documents' examples that the documents themselves do not have.
WRONG_EXAMPLES = ("value 'UriFile' of ", "value 'Scheduled' of ")


@lru_cache
def contract() -> Contract:
    return Contract.read()


def examples() -> list[tuple[str, str]]:
    """(operation, path of an example) for all that the documents refer to and that are at hand."""
    if not DOCUMENTS.is_dir():
        return []
    found = [
        (operation.id, example["$ref"])
        for operation in contract().operations
        for example in operation.definition.get("x-ms-examples", {}).values()
    ]
    return [(operation, path) for operation, path in found if (DOCUMENTS / path).exists()]


def operation(method: str, path: str) -> Operation:
    found = contract().find(method, path)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "path"), examples())
def test_the_documents_examples_keep_the_contract(name: str, path: str) -> None:
    example = json.loads((DOCUMENTS / path).read_text())
    found = next(op for op in contract().operations if op.id == name)
    body = next((example["parameters"].get(p["name"]) for p in found.parameters if p["in"] == "body"), None)
    query = {key: str(value) for key, value in example["parameters"].items()}
    findings = contract().request_findings(found, query, body)
    for status, response in example["responses"].items():
        headers = {"Location": ""} | response.get("headers", {})
        findings += contract().response_findings(found, int(status), headers, response.get("body"))
    assert [finding for finding in findings if not finding.startswith(WRONG_EXAMPLES)] == []


def test_a_path_is_found_whatever_its_case() -> None:
    assert operation("get", WORKSPACE.upper() + "/computes/c").id == "Compute_Get"
    assert operation("PUT", WORKSPACE + "/jobs/j").id == "Jobs_CreateOrUpdate"
    assert contract().find("GET", WORKSPACE + "/jobs/j/else") is None


@pytest.mark.parametrize(
    ("properties", "finding"),
    [
        ({"jobType": "Command", "command": "x"}, "missing property properties.environmentId"),
        (
            {"jobType": "Command", "command": 1, "environmentId": "e"},
            "type of properties.command is not 'string'",
        ),
        (
            {"jobType": "Command", "command": "x", "environmentId": "e", "speed": 1},
            "unknown property properties.speed",
        ),
        (
            {
                "jobType": "Command",
                "command": "x",
                "environmentId": "e",
                "inputs": {"a": {"jobInputType": "literal"}},
            },
            "missing property properties.inputs.*.value",
        ),
        ({"command": "x"}, "missing property properties.jobType"),
    ],
)
def test_what_breaks_the_contract_is_found_where_it_is(properties: dict[str, Any], finding: str) -> None:
    put = operation("PUT", WORKSPACE + "/jobs/j")
    assert finding in contract().request_findings(put, {}, {"properties": properties})


def test_an_unknown_status_and_a_long_operation_without_its_address_are_found() -> None:
    put = operation("PUT", WORKSPACE + "/onlineEndpoints/e")
    body = {"location": "l", "properties": {"authMode": "Key"}}
    assert contract().response_findings(put, 299, {}, body) == ["status 299 is not among 200, 201, default"]
    assert contract().response_findings(put, 201, {}, body) == [
        "a long operation without Azure-AsyncOperation or Location"
    ]
    assert contract().response_findings(put, 400, {}, {"message": "no"}) == ["missing property error"]


def test_the_query_is_looked_at() -> None:
    delete = operation("DELETE", WORKSPACE + "/computes/c")
    assert contract().request_findings(delete, {}, None) == [
        "query parameter underlyingResourceAction is missing"
    ]
    assert contract().request_findings(delete, {"underlyingResourceAction": "Burn"}, None) == [
        "query parameter underlyingResourceAction is 'Burn'"
    ]
