"""Registries beside the first: made, listed, filled from workspaces, used by jobs, and deleted."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import MLClient, entities, load_component, load_job, load_registry
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.conftest import LocalServer
from tests.support.waiting import OFTEN, until

WANTED = """
name: {name}
location: eastus
tags: {{a: b}}
replication_locations:
- location: eastus
"""
ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"


@pytest.fixture
def registry(ml_client: Any) -> Iterator[str]:
    """The name of a registry of its own, deleted afterwards."""
    name = f"Own-{uuid4().hex[:8]}"
    made = ml_client.registries.begin_create(load_registry(StringIO(WANTED.format(name=name)))).result()
    assert made.name == name
    yield name
    ml_client.registries.begin_delete(name=name, polling_interval=OFTEN).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.registries.get(name)


def client_of(client: Any, registry: str) -> Any:
    return MLClient(client._credential, registry_name=registry)


def test_a_registry_is_made_as_it_was_asked_for(ml_client: Any, registry: str) -> None:
    found = ml_client.registries.get(registry)
    assert (found.location, found.tags, found.public_network_access) == ("eastus", {"a": "b"}, "Enabled")
    (region,) = found.replication_locations
    assert region.location == "eastus"
    assert {each.name for each in ml_client.registries.list()} >= {registry, "azureml"}
    assert registry in [each.name for each in ml_client.registries.list(scope="subscription")]
    assert list(client_of(ml_client, registry).models.list()) == []
    with pytest.raises(HttpResponseError, match="everybody's"):
        ml_client.registries.begin_delete(name="azureml")


@pytest.mark.slow
def test_a_model_is_shared_and_stays_when_the_workspaces_is_gone(
    ml_client: Any, registry: str, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights.txt").write_text("weights")
    name = f"m-{uuid4().hex[:8]}"
    given = entities.Model(
        name=name, version="3", path=str(tmp_path / "model"), type="custom_model", tags={"t": "u"}
    )
    ml_client.models.create_or_update(given)
    share = {"share_with_name": "shared", "share_with_version": "1", "registry_name": registry}
    made = ml_client.models.share(name=name, version="3", **share)
    assert (made.name, made.version, made.tags) == ("shared", "1", {"t": "u"})
    assert made.id == f"azureml://registries/{registry}/models/shared/versions/1"
    ml_client.models._model_versions_operation.delete("local", "local", name, "3")
    theirs = client_of(ml_client, registry)
    theirs.models.download("shared", "1", download_path=tmp_path / "out")
    assert next((tmp_path / "out").rglob("weights.txt")).read_text() == "weights"
    job = f"""
type: command
command: grep weights ${{{{inputs.model}}}}/weights.txt
environment: {ENVIRONMENT}
compute: azureml:serverless
inputs:
  model: {{type: custom_model, path: {made.id}}}
"""
    assert ended(ml_client, job) == "Completed"
    with pytest.raises(ResourceNotFoundError):
        client_of(ml_client, "azureml").models.get("shared", version="1")
    with pytest.raises(Exception, match="already exists in registry"):
        ml_client.models.share(name=name, version="3", **share)


def ended(client: Any, job: str) -> Any:
    """The status in which the job ends."""
    name = client.jobs.create_or_update(load_job(StringIO(job))).name
    final = ("Completed", "Failed")
    return until(lambda: status if (status := client.jobs.get(name).status) in final else None)


def test_a_component_of_it_runs_with_its_code(ml_client: Any, registry: str, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "say.sh").write_text("echo said by the code")
    (tmp_path / "c.yaml").write_text(f"""
name: says
version: "1"
type: command
command: sh say.sh | grep said
code: ./src
environment: {ENVIRONMENT}
""")
    theirs = client_of(ml_client, registry)
    theirs.components.create_or_update(load_component(tmp_path / "c.yaml"), version="7")
    found = theirs.components.get("says", version="7")
    job = f"""
type: pipeline
settings: {{default_compute: "azureml:serverless"}}
jobs:
  say: {{type: command, component: "{found.id}"}}
"""
    assert ended(ml_client, job) == "Completed"


def test_registries_come_back_and_go_with_a_reset(ml_client: Any, server: LocalServer) -> None:
    wanted = load_registry(StringIO(WANTED.format(name="to-be-reset")))
    ml_client.registries.begin_create(wanted).result()
    server.admin("reset", {"kinds": ["registries"]})
    assert "to-be-reset" not in [each.name for each in ml_client.registries.list()]


USERS = {"location": "l", "acrDetails": [{"userCreatedAcrAccount": {}}]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"properties": {}}, "regionDetails"),
        ({"properties": {"regionDetails": [{}]}}, "location"),
        (
            {
                "properties": {
                    "regionDetails": [{"location": "l", "acrDetails": [{"userCreatedAcrAccount": {}}]}]
                }
            },
            "accounts of one's own",
        ),
    ],
)
def test_what_no_registry_here_has_is_refused(ml_client: Any, body: dict[str, Any], words: str) -> None:
    with pytest.raises(HttpResponseError, match=words):
        ml_client.registries._operation.begin_create_or_update("local", "refused", body)
