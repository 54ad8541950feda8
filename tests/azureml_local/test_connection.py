"""Connections through the SDK: every kind of credentials, which only listSecrets ever shows again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import entities
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.conftest import LocalServer

SECRET = "s3cret-of-a-connection"
KINDS = {
    "git": entities.PatTokenConfiguration(pat=SECRET),
    "container_registry": entities.ManagedIdentityConfiguration(client_id="c", resource_id="r"),
    "snowflake": entities.UsernamePasswordConfiguration(username="u", password=SECRET),
    "s3": entities.AccessKeyConfiguration(access_key_id="i", secret_access_key=SECRET),
    "generic_http": entities.ServicePrincipalConfiguration(
        tenant_id="t", client_id="c", client_secret=SECRET
    ),
    "hdfs": entities.SasTokenConfiguration(sas_token=SECRET),
    "sftp": entities.AccountKeyConfiguration(account_key=SECRET),
    "custom": entities.ApiKeyConfiguration(key=SECRET),
    "redis": entities.NoneCredentialConfiguration(),
    "cosmos_db": entities.AadCredentialConfiguration(),
}


@pytest.fixture
def name(ml_client: Any) -> Iterator[str]:
    """A name of no other connection, which is deleted afterwards."""
    name = f"to-{uuid4().hex[:8]}"
    yield name
    ml_client.connections.delete(name)


def connection(name: str, kind: str = "git", **options: Any) -> Any:
    options = {"target": "https://example.org", "credentials": KINDS[kind], **options}
    return entities.WorkspaceConnection(name=name, type=kind, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_what_opens_it_is_kept_and_never_shown(
    ml_client: Any, server: LocalServer, name: str, kind: str
) -> None:
    answers: list[str] = []
    listening = {"raw_response_hook": lambda each: answers.append(each.http_response.text())}
    made = ml_client.connections.create_or_update(connection(name, kind, metadata={"of": "us"}), **listening)
    assert (made.name, made.type, made.target) == (name, kind, "https://example.org")
    assert (made.metadata, made.credentials.type) == ({"of": "us"}, KINDS[kind].type)
    assert ml_client.connections.get(name, **listening).is_shared is True
    assert name in [each.name for each in ml_client.connections.list(**listening)]
    assert len(answers) == 3
    assert not [each for each in answers if SECRET in each]
    assert SECRET not in (server.state / "server.log").read_text()
    shown = ml_client.connections._operation.list_secrets("local", "local", name).properties
    if kind in ("redis", "cosmos_db"):
        assert "credentials" not in shown
    else:
        assert shown.credentials == KINDS[kind]._to_workspace_connection_rest_object()


def test_an_api_key_is_filled_in_for_who_asks(ml_client: Any, name: str) -> None:
    given = entities.AzureOpenAIConnection(name=name, azure_endpoint="https://example.org", api_key=SECRET)
    assert ml_client.connections.create_or_update(given).api_key is None
    assert ml_client.connections.get(name, populate_secrets=True).api_key == SECRET
    (listed,) = ml_client.connections.list("azure_open_ai", populate_secrets=True)
    assert (listed.name, listed.api_key) == (name, SECRET)


def test_it_is_replaced_by_another_of_its_name(ml_client: Any, name: str) -> None:
    ml_client.connections.create_or_update(connection(name, metadata={"a": "1"}))
    changed = ml_client.connections.create_or_update(connection(name, "s3", target="https://example.com"))
    assert (changed.type, changed.target, changed.metadata) == ("s3", "https://example.com", {})
    assert [each for each in ml_client.connections.list("git") if each.name == name] == []


def test_connections_to_data_are_listed_for_who_asks(ml_client: Any, name: str) -> None:
    given = entities.AzureBlobStoreConnection(
        name=name,
        url="https://example.org/c",
        container_name="c",
        account_name="a",
        credentials=entities.AadCredentialConfiguration(),
    )
    ml_client.connections.create_or_update(given)
    assert name not in [each.name for each in ml_client.connections.list()]
    # As the service's parameter: the SDK's own include_data_connections is overwritten on its way (1.35).
    everything = ml_client.connections.list(include_all=True)
    (found,) = [each for each in everything if each.name == name]
    assert (found.container_name, found.account_name) == ("c", "a")


def test_a_missing_one_is_said_in_account_rps_words(ml_client: Any) -> None:
    with pytest.raises(ResourceNotFoundError, match="Connection none can't be found in this workspace"):
        ml_client.connections.get("none")
    ml_client.connections.delete("none")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"category": "Git"}, "authType.*PAT"),
        ({"authType": "PAT"}, "category"),
        (
            {"authType": "PAT", "category": "Git", "credentials": {"key": SECRET}},
            "key.*PAT have pat",
        ),
        ({"authType": "PAT", "category": "Git", "credentials": {"pat": [SECRET]}}, "pat.*string"),
        ({"authType": "CustomKeys", "category": "Git", "credentials": {"keys": SECRET}}, "keys.*object"),
    ],
)
def test_a_refusal_names_the_property_and_no_secret(
    ml_client: Any, given: dict[str, Any], words: str
) -> None:
    body: Any = {"properties": {"target": "https://example.org", **given}}
    with pytest.raises(HttpResponseError, match=f"(?s){words}") as refusal:
        ml_client.connections._operation.create("local", "local", "refused", body)
    assert SECRET not in str(refusal.value)
