"""The shapes of errors by the part of Azure that answers, and the headers beside every answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.settings import Settings
from tests.conftest import LetFail, LocalServer
from tests.support.waiting import PATIENCE

Ask = Callable[..., requests.Response]
FRONT_END = ["ComponentName", "Correlation", "Environment", "Location", "Time"]
BESIDE = {"correlation", "environment", "location", "time", "componentName"}


@pytest.fixture
def ask(server: LocalServer, environment: dict[str, str]) -> Ask:
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    workspace = Settings(server.state, 0).workspace_arm_id

    def send(path: str, method: str = "GET", body: Any = None) -> requests.Response:
        whole = path if path.startswith("/") else f"{workspace}/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        address = f"{server.url}{whole}{'&' if '?' in whole else '?'}api-version=2024-04-01"
        return requests.request(method, address, json=body, headers=headers, timeout=PATIENCE)

    return send


def test_the_front_end_says_where_and_when_beside_the_error(ask: Ask) -> None:
    answer = ask("components/none")
    error = answer.json()["error"]
    assert list(answer.json()) == ["error"]
    assert error.keys() == {"code", "message", "details", "additionalInfo"}
    info = {each["type"]: each["info"]["value"] for each in error["additionalInfo"]}
    assert list(info) == [*FRONT_END, "InnerError"]
    assert info["ComponentName"] == "managementfrontend"
    assert {name: len(value) for name, value in info["Correlation"].items()} == {
        "operation": 32,
        "request": 16,
    }
    assert answer.headers["x-ms-response-type"] == "error"


def test_what_is_nested_has_no_inner_error_of_its_own(ask: Ask, server: LocalServer) -> None:
    server.admin("endpoint-names", {"name": "nested-errors"})
    body = {"location": "local", "properties": {"authMode": "Key"}}
    error = ask("onlineEndpoints/nested-errors", "PUT", body).json()["error"]
    assert (error["code"], error["message"]) == ("BadRequest", "The request is invalid.")
    (nested,) = error["details"]
    assert nested.keys() == {"code", "message", "details", "additionalInfo"}
    assert [each["type"] for each in error["additionalInfo"]] == FRONT_END


@pytest.mark.parametrize("path", ["/history/v1.0/nothing", "/registrymanagement/v1.0/registries/x/discovery"])
def test_the_services_beside_resource_manager_have_the_rest_around_the_error(ask: Ask, path: str) -> None:
    answer = ask(path).json()
    assert answer.keys() >= BESIDE
    assert answer["error"].keys() >= {"code", "severity", "message", "innerError", "debugInfo"}


def test_resource_manager_itself_says_no_more_than_a_code_and_a_message(ask: Ask) -> None:
    path = Settings(Path(), 0).workspace_arm_id + "x"
    answer = ask(path)
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    error = answer.json()["error"]
    assert error.keys() == {"code", "message"}
    assert error["code"] == "ResourceNotFound"
    assert error["message"].startswith(
        "The Resource 'Microsoft.MachineLearningServices/workspaces/localx' under resource group 'local' was "
    )


def test_a_missing_compute_has_no_body(ask: Ask) -> None:
    answer = ask("computes/none")
    assert (answer.status_code, answer.content) == (404, b"")


def test_a_fault_has_the_shape_of_the_service_that_fails(ask: Ask, let_fail: LetFail) -> None:
    let_fail({"kind": "status", "path": "jobs/*"}, {"kind": "status", "path": "/history/**"})
    error = ask("jobs/any").json()["error"]
    assert [each["type"] for each in error["additionalInfo"]] == FRONT_END
    assert ask("/history/v1.0/nothing").json().keys() >= BESIDE


@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("GET", "datastores", {"subscription-reads": "1099", "subscription-global-reads": "16499"}),
        ("DELETE", "models/none", {"subscription-deletes": "799"}),
        ("POST", "listKeys", {"subscription-writes": "799", "subscription-global-writes": "11999"}),
        ("PUT", "onlineEndpoints/none/deployments/d", {"subscription-resource-requests": "24"}),
        ("GET", "/discovery", {}),
    ],
)
def test_resource_manager_says_how_many_requests_are_left(
    ask: Ask, method: str, path: str, wanted: dict[str, str]
) -> None:
    prefix = "x-ms-ratelimit-remaining-"
    headers = {name.lower(): value for name, value in ask(path, method).headers.items()}
    found = {name.removeprefix(prefix): value for name, value in headers.items() if name.startswith(prefix)}
    assert found == wanted
