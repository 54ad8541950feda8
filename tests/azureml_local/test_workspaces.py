"""Several workspaces in one server: made, changed and deleted by the SDK, each with what is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.ai.ml import MLClient, entities, load_job
from azure.ai.ml._vendor.azure_resources import ResourceManagementClient
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import Settings
from azureml_local.state.documents import (
    CONNECTIONS,
    PROVIDERS,
    WORKSPACES,
    ConnectionDocument,
    ProviderDocument,
    assets,
    by_number,
)
from azureml_local.state.workspace_documents import WorkspaceDocument
from azureml_local.wire import app
from tests.conftest import LocalServer
from tests.support.tiny_model import workspace_client
from tests.support.waiting import OFTEN, PATIENCE, until

Make = Callable[..., Any]


@pytest.fixture
def make(ml_client: Any) -> Iterator[Make]:
    """Makes workspaces in the first one's group, which are deleted afterwards."""
    names = []

    def made(**options: Any) -> Any:
        name = f"Side-{uuid4().hex[:8]}"
        found = ml_client.workspaces.begin_create(entities.Workspace(name=name, **options)).result()
        names.append(name)
        return found

    yield made
    for name in names:
        with suppress(ResourceNotFoundError):  # a test has removed it
            removed(ml_client, name)


def removed(client: Any, name: str, **options: Any) -> None:
    options = {"delete_dependent_resources": False, **options}
    client.workspaces.begin_delete(name, polling_interval=OFTEN, **options).result()


def client_of(client: Any, name: str, group: str = "local") -> Any:
    return MLClient(client._credential, client.subscription_id, group, name)


@pytest.fixture
def resources(ml_client: Any, server: LocalServer) -> Any:
    return ResourceManagementClient(
        ml_client._credential,
        ml_client.subscription_id,
        base_url=server.url,
        credential_scopes=[f"{server.url}/.default"],
    )


def test_a_workspace_is_made_and_changed_as_it_was_asked_for(ml_client: Any, make: Make) -> None:
    made = make(description="d", display_name="Side", tags={"a": "b"})
    assert (made.description, made.display_name, made.location) == ("d", "Side", "local")
    assert made.tags.items() >= {"a": "b"}.items()
    assert made.public_network_access == "Enabled"
    assert made.name in [each.name for each in ml_client.workspaces.list()]
    assert made.name in [each.name for each in ml_client.workspaces.list(scope="subscription")]
    assert list(ml_client.workspaces.list(filtered_kinds="hub")) == []
    assert ml_client.workspaces.get(made.name.upper()).id == made.id
    first = ml_client.workspaces.get("local")
    for name in ("storage_account", "key_vault", "application_insights", "_workspace_id"):
        assert getattr(made, name) != getattr(first, name)
    assert str(Settings(Path(), 1).storage_account_arm_id) == first.storage_account
    made.description, made.tags = "changed", {"c": "d"}
    found = ml_client.workspaces.begin_update(made, polling_interval=OFTEN).result()
    assert (found.description, found.tags) == ("changed", {"c": "d"})
    # Made once more, as the SDK has it: changed, and with the tags of both.
    again = entities.Workspace(name=made.name, tags={"e": "f"})
    assert ml_client.workspaces.begin_create(again).result().tags == {"c": "d", "e": "f"}


def test_a_script_that_makes_the_first_one_finds_it(ml_client: Any) -> None:
    found = ml_client.workspaces.begin_create(entities.Workspace(name="local", tags={"a": "b"})).result()
    assert (found.name, found.location, found.tags) == ("local", "local", {"a": "b"})


@pytest.mark.slow
def test_what_is_made_in_one_is_not_seen_in_another(ml_client: Any, make: Make, tmp_path: Path) -> None:
    name = make().name
    other = client_of(ml_client, name)
    (tmp_path / "a.txt").write_text("of the side")
    given = entities.Data(name="theirs", version="1", path=str(tmp_path / "a.txt"), type="uri_file")
    path = other.data.create_or_update(given).path
    assert f"/workspaces/{name}/datastores/workspaceblobstore/paths/" in path
    with pytest.raises(ResourceNotFoundError):
        ml_client.data.get("theirs", version="1")
    assert other.datastores.get_default().account_name != ml_client.datastores.get_default().account_name
    job = other.jobs.create_or_update(
        load_job(
            StringIO(f"""
type: command
command: grep side ${{{{inputs.a}}}} && echo made > ${{{{outputs.b}}}}/b.txt
environment: azureml://registries/azureml/environments/any/versions/1
compute: azureml:serverless
inputs:
  a: {{type: uri_file, path: {path}}}
outputs:
  b: {{type: uri_folder}}
""")
        )
    )
    done = until(
        lambda: found if (found := other.jobs.get(job.name)).status in ("Completed", "Failed") else None
    )
    assert done.status == "Completed"
    other.jobs.download(job.name, output_name="b", download_path=tmp_path / "out")
    assert next((tmp_path / "out").rglob("b.txt")).read_text() == "made\n"
    assert job.name not in [each.name for each in ml_client.jobs.list()]
    with pytest.raises(HttpResponseError, match=f"is in the workspace {name}: data of another"):
        ml_client.data.create_or_update(entities.Data(name="x", version="1", path=path, type="uri_file"))
    with pytest.raises(ResourceNotFoundError):
        ml_client.jobs.get(job.name)
    cluster = entities.AmlCompute(name="side", size="Standard_DS3_v2", min_instances=0, max_instances=1)
    other.compute.begin_create_or_update(cluster).result()
    assert "side" not in [each.name for each in ml_client.compute.list()]


def test_signatures_are_of_one_and_names_of_endpoints_of_all(ml_client: Any, make: Make) -> None:
    other = client_of(ml_client, make().name)
    theirs = other.datastores.get_default(include_secrets=True)
    mine = ml_client.datastores.get_default(include_secrets=True)
    for store, signature, is_open in (
        (theirs, theirs, True),
        (theirs, mine, False),
        (mine, theirs, False),
        (mine, mine, True),
    ):
        place = f"https://{store.account_name}.blob.{store.endpoint}/{store.container_name}"
        answer = requests.get(
            f"{place}?restype=container&comp=list&{signature.credentials.sas_token}", timeout=PATIENCE
        )
        assert answer.ok is is_open
    wanted = entities.ManagedOnlineEndpoint(name=f"e-{uuid4().hex[:8]}", auth_mode="key")
    made = other.online_endpoints.begin_create_or_update(wanted).result()
    assert made.scoring_uri == other.online_endpoints.get(wanted.name).scoring_uri
    assert wanted.name not in [each.name for each in ml_client.online_endpoints.list()]
    with pytest.raises(HttpResponseError, match="taken|already"):
        ml_client.online_endpoints.begin_create_or_update(wanted).result()


def test_a_deleted_one_is_gone_with_what_was_in_it(ml_client: Any, server: LocalServer, make: Make) -> None:
    made = make()
    other = client_of(ml_client, made.name)
    other.connections.create_or_update(
        entities.WorkspaceConnection(
            name="c", type="git", target="https://g", credentials=entities.NoneCredentialConfiguration()
        )
    )
    kept = set((server.state / "workspaces").iterdir())
    removed(ml_client, made.name, delete_dependent_resources=True)
    with pytest.raises(ResourceNotFoundError, match="was not found. For more details"):
        ml_client.workspaces.get(made.name)
    with pytest.raises(ResourceNotFoundError):
        list(other.connections.list())
    assert len(kept - set((server.state / "workspaces").iterdir())) == 1
    ml_client.workspaces.begin_create(entities.Workspace(name=made.name)).result()
    assert list(other.connections.list()) == []


def test_groups_hold_workspaces_and_take_them_along(ml_client: Any, resources: Any) -> None:
    group = f"group-{uuid4().hex[:8]}"
    assert not resources.resource_groups.check_existence(group)
    with pytest.raises(HttpResponseError, match="ResourceGroupNotFound"):
        list(MLClient(ml_client._credential, ml_client.subscription_id, group).workspaces.list())
    made = resources.resource_groups.create_or_update(group, {"location": "eastus", "tags": {"a": "b"}})
    assert (made.name, made.location, made.tags) == (group, "eastus", {"a": "b"})
    assert resources.resource_groups.check_existence(group)
    assert {group, "local"} <= {each.name for each in resources.resource_groups.list()}
    client = MLClient(ml_client._credential, ml_client.subscription_id, group)
    there = client.workspaces.begin_create(entities.Workspace(name="same-name")).result()
    assert (there.location, there.resource_group) == ("eastus", group)
    assert [each.name for each in client.workspaces.list()] == ["same-name"]
    assert "same-name" not in [each.name for each in ml_client.workspaces.list()]
    resources.resource_groups.begin_delete(group, polling_interval=OFTEN).result()
    assert not resources.resource_groups.check_existence(group)
    assert "same-name" not in [each.name for each in ml_client.workspaces.list(scope="subscription")]


def test_a_reset_leaves_the_first_alone(ml_client: Any, server: LocalServer, make: Make) -> None:
    made = make()
    with pytest.raises(OSError, match="409"):
        server.admin("snapshots/save", {"name": "refused"})
    server.admin("reset", {"kinds": ["workspaces"]})
    assert [each.name for each in ml_client.workspaces.list(scope="subscription")] == ["local"]
    with pytest.raises(ResourceNotFoundError):
        ml_client.workspaces.get(made.name)


def test_they_are_there_after_a_restart(tmp_path: Path) -> None:
    first = Workspace.open(Settings(tmp_path, 1))
    app.create(first)
    document: WorkspaceDocument = {
        "group": "local",
        "name": "Side",
        "storage": "side",
        "location": "eastus",
        "tags": {},
        "identity": None,
        "properties": {"systemDatastoresAuthMode": "identity"},
        "systemData": {"createdAt": "2026-01-01T00:00:00+00:00", "createdBy": "local user"},
    }
    first.store.put(WORKSPACES, neighbours.key("local", "Side"), document)
    made = neighbours.add(first, document)
    kept: ConnectionDocument = {"properties": {}, "credentials": None}
    made.store.put(CONNECTIONS, "theirs", kept)
    of_all: ProviderDocument = {"registrationState": "Registered"}
    made.store.put(PROVIDERS, "of.all", of_all)
    first.close()
    again = Workspace.open(Settings(tmp_path, 1))
    app.create(again)
    (found,) = again.others.values()
    assert found.store.get(CONNECTIONS, "theirs") is not None
    assert again.store.get(CONNECTIONS, "theirs") is None
    assert again.store.get(PROVIDERS, "of.all") == found.store.get(PROVIDERS, "of.all") == of_all
    assert found.settings.scenario.storage == "identity"
    assert found.store.last(by_number(assets("models", registry=True)), "SmolLM2-135M-Instruct") is not None
    again.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "x"}, "3 to 33 letters"),
        (
            {"storage_account": "/subscriptions/s/resourceGroups/g/providers/M.S/storageAccounts/a"},
            "of its own",
        ),
        (
            {"managed_network": entities.ManagedNetwork(isolation_mode="allow_internet_outbound")},
            "no managed",
        ),
    ],
)
def test_what_no_workspace_here_has_is_refused(ml_client: Any, options: dict[str, Any], words: str) -> None:
    wanted = entities.Workspace(**{"name": "never-made", **options})
    with pytest.raises(HttpResponseError, match=words):
        ml_client.workspaces.begin_create(wanted).result()
    assert "never-made" not in [each.name for each in ml_client.workspaces.list()]


def test_hubs_and_the_end_of_the_first_are_refused(ml_client: Any) -> None:
    with pytest.raises(HttpResponseError, match="kind hub is not made here"):
        ml_client.workspaces.begin_create(entities.Hub(name="a-hub")).result()
    with pytest.raises(HttpResponseError, match="began with"):
        removed(workspace_client(), "local")
