"""Each kind of sign-in, as the real azure-identity reads it from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import trustme
from azure.identity import DefaultAzureCredential
from pydantic import SecretStr

from flows.run.workspace import opened
from tasks.azure.credentials import AzureSignIn

ID, TENANT = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


CERTIFICATE = "<a file>"


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate with its key in one PEM file, as a service principal's is."""
    made = trustme.CA(key_type=trustme.KeyType.RSA).issue_cert("principal.test", key_type=trustme.KeyType.RSA)
    file = tmp_path / "principal.pem"
    file.write_bytes(made.private_key_and_cert_chain_pem.bytes())
    return file


@pytest.fixture(autouse=True)
def somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the machine's own sign-in, which must not mix with the block's."""
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "33333333-3333-3333-3333-333333333333")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)


@pytest.mark.parametrize(
    ("given", "credential", "variables"),
    [
        (
            {"client_id": ID, "tenant_id": TENANT, "client_secret": SecretStr("s")},
            "EnvironmentCredential",
            {"AZURE_CLIENT_ID": ID, "AZURE_TENANT_ID": TENANT, "AZURE_CLIENT_SECRET": "s"},
        ),
        (
            {"client_id": ID, "tenant_id": TENANT, "certificate_path": CERTIFICATE},
            "EnvironmentCredential",
            {"AZURE_CLIENT_CERTIFICATE_PATH": CERTIFICATE, "AZURE_CLIENT_SECRET": None},
        ),
        ({"client_id": ID}, "ManagedIdentityCredential", {"AZURE_CLIENT_ID": ID}),
        ({}, "ManagedIdentityCredential", {"AZURE_CLIENT_ID": None, "AZURE_CLIENT_SECRET": None}),
        (
            {"kind": "workload identity", "client_id": ID, "tenant_id": TENANT},
            "WorkloadIdentityCredential",
            {"AZURE_CLIENT_ID": ID, "AZURE_FEDERATED_TOKEN_FILE": "/token"},
        ),
    ],
    ids=["secret", "certificate", "user-assigned", "system-assigned", "workload"],
)
def test_a_block_is_the_one_credential_of_the_chain(
    given: dict[str, Any],
    credential: str,
    variables: dict[str, str | None],
    monkeypatch: pytest.MonkeyPatch,
    certificate: Path,
) -> None:
    given = {**given, "certificate_path": str(certificate)} if "certificate_path" in given else given
    variables = {
        name: str(certificate) if value == CERTIFICATE else value for name, value in variables.items()
    }
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/token")  # as the webhook of AKS sets it
    with opened("azure", AzureSignIn(**given)):
        assert {name: os.environ.get(name) for name in variables} == variables
        chain = DefaultAzureCredential()
        assert [type(each).__name__ for each in chain.credentials] == [credential]
    assert os.environ["AZURE_CLIENT_SECRET"].startswith("3333")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"client_id": ID, "client_secret": SecretStr("s")}, "tenant id"),
        ({"kind": "service principal", "client_id": ID, "tenant_id": TENANT}, "secret or a certificate"),
        (
            {"client_id": ID, "tenant_id": TENANT, "client_secret": SecretStr("s"), "certificate_path": "/c"},
            "either a client secret or a certificate",
        ),
    ],
)
def test_an_incomplete_principal_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        AzureSignIn(**given)
