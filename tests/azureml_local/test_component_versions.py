"""Components as the service keeps them: what is normalised, what may change later, and what has no name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.settings import Settings
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

Put = Callable[[str, dict[str, Any]], requests.Response]

# As the SDK writes a component with every kind of scalar.
SPEC: dict[str, Any] = {
    "type": "command",
    "is_deterministic": True,
    "description": "words",
    "display_name": "A component",
    "environment": "azureml:AzureML-sklearn-0.24-ubuntu18.04-py37-cpu:1",
    "distribution": {"type": "mpi", "process_count_per_instance": 1},
    "inputs": {
        "n": {"type": "number", "default": 10.99},
        "o": {"type": "number", "optional": True},
        "p": {"type": "uri_folder"},
    },
    "command": "echo ${{inputs.n}}",
    "_source": "YAML.COMPONENT",
}


@pytest.fixture
def put(server: LocalServer, environment: dict[str, str]) -> Put:
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    base = f"{server.url}{Settings(server.state, 0).workspace_arm_id}"

    def send(path: str, properties: dict[str, Any]) -> requests.Response:
        return requests.put(
            f"{base}/{path}?api-version=2022-05-01",
            json={"properties": properties},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )

    return send


@pytest.fixture
def name() -> str:
    return f"c-{uuid4().hex[:10]}"


def test_every_scalar_is_kept_as_text_and_what_is_left_out_is_filled_in(put: Put, name: str) -> None:
    answer = put(f"components/{name}/versions/1", {"componentSpec": SPEC})
    assert answer.status_code == 201
    properties = answer.json()["properties"]
    spec = properties["componentSpec"]
    assert spec["is_deterministic"] == "True"
    assert spec["environment"] == (
        "azureml://registries/azureml/environments/AzureML-sklearn-0.24-ubuntu18.04-py37-cpu/versions/1"
    )
    assert spec["distribution"] == {"process_count_per_instance": "1", "type": "Mpi"}
    assert spec["resources"] == {"instance_count": "1"}
    assert list(spec["inputs"]) == ["p", "n", "o"]
    assert spec["inputs"]["p"] == {"type": "uri_folder", "optional": "False"}
    assert spec["inputs"]["n"] == {"type": "number", "default": "10.99", "optional": "False"}
    assert spec["inputs"]["o"] == {"type": "number", "optional": "True"}
    assert "_source" not in spec
    assert (properties["description"], spec["description"]) == (None, "words")


def test_what_is_said_about_a_component_changes_in_place(put: Put, name: str) -> None:
    first = put(f"components/{name}/versions/1", {"componentSpec": SPEC}).json()
    words = {"description": "other words", "display_name": "Another name"}
    changed = put(f"components/{name}/versions/1", {"componentSpec": SPEC | words, "tags": {"k": "v"}})
    assert changed.status_code == 200
    properties = changed.json()["properties"]
    assert properties["componentSpec"].items() >= words.items()
    assert properties["tags"] == {"k": "v"}
    system, before = changed.json()["systemData"], first["systemData"]
    assert system["createdAt"] == before["createdAt"]
    assert system["lastModifiedAt"] > before["lastModifiedAt"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("command", {"command": "echo more"}),
        ("inputs", {"inputs": {"n": {"type": "integer"}}}),
        ("code", {"code": "/subscriptions/s/codes/c/versions/1"}),
        ("environment", {"environment": "azureml:AzureML-other:1"}),
    ],
)
def test_what_a_component_does_is_immutable(put: Put, name: str, field: str, change: dict[str, Any]) -> None:
    put(f"components/{name}/versions/1", {"componentSpec": SPEC})
    refused = put(f"components/{name}/versions/1", {"componentSpec": SPEC | change})
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (400, "UserError")
    assert error["message"] == (
        f'Failed to update component {name} since field "{field}" is immutable, try specifying a new version.'
    )
    inner = error["additionalInfo"][-1]
    assert inner["type"] == "InnerError"
    nested = {"code": "ArgumentInvalid", "innerError": {"code": "UpdateComponentFailed", "innerError": None}}
    assert inner["info"]["value"] == {"code": "BadArgument", "innerError": nested}


def test_a_component_without_a_name_gets_its_version_from_what_it_is(put: Put) -> None:
    def sent(spec: dict[str, Any]) -> dict[str, Any]:
        answer = put(
            f"components/azureml_anonymous/versions/{uuid4()}", {"componentSpec": spec, "isAnonymous": True}
        )
        assert answer.status_code == 201
        found: dict[str, Any] = answer.json()
        return found

    first, again = sent(SPEC), sent(SPEC)
    other = sent(SPEC | {"command": "true"})
    assert first["id"] == again["id"]
    assert first["id"] != other["id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", first["name"])
    assert first["id"].endswith(f"/components/azureml_anonymous/versions/{first['name']}")
    assert first["properties"]["componentSpec"]["name"] == "azureml_anonymous"


def test_the_next_version_is_a_moment(put: Put, name: str, ml_client: Any) -> None:
    put(f"components/{name}/versions/7", {"componentSpec": SPEC})
    rows = {row.name: row for row in ml_client.components.list()}
    assert name in rows
    server = ml_client.components._container_operation  # what the SDK takes the next version from
    container = server.get(
        name=name, resource_group_name=ml_client.resource_group_name, workspace_name=ml_client.workspace_name
    )
    assert re.fullmatch(r"\d{4}(-\d\d){5}-\d{7}", container.properties.next_version)


def test_a_component_without_a_name_keeps_what_it_calls_itself(put: Put) -> None:
    answer = put(
        "components/azureml_anonymous/versions/1", {"componentSpec": {**SPEC, "name": "mine", "version": "3"}}
    )
    spec = answer.json()["properties"]["componentSpec"]
    assert (spec["name"], spec["version"]) == ("mine", "3")
    assert "/components/azureml_anonymous/versions/" in answer.json()["id"]


@pytest.mark.parametrize("reference", ["AzureML-any/versions/1", "nobodys/versions/1"])
def test_a_component_is_validated_by_the_service(ml_client: Any, tmp_path: Path, reference: str) -> None:
    from azure.ai.ml import load_component

    content = "type: command\nname: c\nversion: '1'\ncommand: 'true'\nenvironment: azureml:any:1"
    (tmp_path / "c.yml").write_text(content)
    component = load_component(tmp_path / "c.yml")
    component.environment = Settings(tmp_path, 0).workspace_arm_id + "/environments/" + reference
    result = ml_client.components.validate(component, skip_remote_validation=False)
    assert result.passed is ("AzureML-" in reference)
