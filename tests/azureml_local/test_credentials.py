"""Credentials and clients that name Azure's cloud themselves reach the workspace, or are told why not."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AzureCliCredential,
    ClientSecretCredential,
    EnvironmentCredential,
    WorkloadIdentityCredential,
)

from azureml_local.settings import Settings
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

TENANT = "99999999-8888-7777-6666-555555555555"
SCOPE = "https://management.azure.com/.default"


@pytest.fixture
def credential(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The kind of credential that the parameter names, made as a script makes it."""
    match request.param:
        case "secret":
            return ClientSecretCredential(TENANT, TENANT, "a secret")
        case "workload":
            (tmp_path / "federated").write_text("header.claims.signature")
            return WorkloadIdentityCredential(
                tenant_id=TENANT, client_id=TENANT, token_file_path=str(tmp_path / "federated")
            )
        case "environment":
            for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
                monkeypatch.setenv(name, TENANT)
            return EnvironmentCredential()
        case _:
            return AzureCliCredential(process_timeout=int(PATIENCE))


@pytest.mark.parametrize("credential", ["secret", "workload", "environment", "cli"], indirect=True)
def test_a_credential_gets_a_token_that_the_workspace_takes(credential: Any, server: LocalServer) -> None:
    headers = {"Authorization": f"Bearer {credential.get_token(SCOPE).token}"}
    path = f"{Settings(server.state, 0).workspace_arm_id}?api-version=2024-04-01"
    # The address that MLClient(cloud="AzureCloud") has built in.
    for url in (server.url, "https://management.azure.com"):
        assert requests.get(url + path, headers=headers, timeout=PATIENCE).json()["name"] == "local"


def test_another_cloud_is_refused_and_says_why(environment: dict[str, str]) -> None:
    elsewhere = ClientSecretCredential(
        TENANT, TENANT, "a secret", authority="login.microsoftonline.us", retry_total=0
    )
    with pytest.raises(ClientAuthenticationError, match="does not let requests for login.microsoftonline.us"):
        elsewhere.get_token(SCOPE)


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        ("CONNECT management.azure.com:443 HTTP/1.1", "407 Proxy Authentication Required"),
        ("CONNECT management.azure.com:443 HTTP/1.1\r\nProxy-Authorization: Basic eDp5", "407 Proxy"),
        ("GET http://localhost/ HTTP/1.1", "405 Method Not Allowed"),
        ("CONNECT nowhere HTTP/1.1", "405 Method Not Allowed"),
    ],
)
def test_the_proxy_is_for_those_who_know_its_secret(
    environment: dict[str, str], head: str, answer: str
) -> None:
    port = urlsplit(environment["HTTPS_PROXY"]).port
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(f"{head}\r\n\r\n".encode())
        assert client.recv(1024).decode().startswith(f"HTTP/1.1 {answer}")


@pytest.mark.parametrize("forwarded", [{}, {"X-Forwarded-For": "127.0.0.1:1"}])
def test_tokens_are_for_those_who_come_through_the_proxy(
    server: LocalServer, environment: dict[str, str], forwarded: dict[str, str]
) -> None:
    form = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "x", "scope": SCOPE}
    url = f"{server.url}/{TENANT}/oauth2/v2.0/token"
    assert requests.post(url, form, headers=forwarded, timeout=PATIENCE).status_code == 401
    url = f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"
    assert requests.post(url, form, timeout=PATIENCE).status_code == 200
    for change in ({"grant_type": "password"}, {"client_secret": ""}, {"scope": "openid profile"}):
        refused = requests.post(url, form | change, timeout=PATIENCE)
        assert (refused.status_code, "error_description" in refused.json()) == (400, True)


def test_the_stand_in_for_az_does_nothing_else(environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["az", "ml", "job", "list"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert "stand-in" in done.stderr
