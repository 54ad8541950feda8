"""What clients are made with: MLflow the run's own credential, and each the authorities that it can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tasks.azure import clients
from tasks.azure.clients import Session


def test_mlflow_uses_the_runs_own_credential(session: Session) -> None:
    """Its own chain ends by waiting for a person."""
    # Late: when it is imported it reads which cloud there is.
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader

    kept = _AzureMLServiceContextLoader._tracking_uri_to_service_context
    kept.clear()
    client = clients.mlflow(session)
    client.search_experiments(max_results=1)
    (context,) = kept.values()
    assert context.auth is clients.credential(session.browser_login)


def test_a_client_that_takes_no_directory_of_authorities_gets_the_file(environment: dict[str, str]) -> None:
    assert os.path.isdir(environment["REQUESTS_CA_BUNDLE"])
    assert clients.authorities() == environment["SSL_CERT_FILE"]


def test_a_file_of_authorities_is_the_one_that_requests_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "of-the-company.pem"
    file.touch()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    assert clients.authorities() == str(file)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert clients.authorities() is None
