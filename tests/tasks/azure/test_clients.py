"""MLflow signs in as everything else does: never by a chain whose end waits for a person."""

from __future__ import annotations

from tasks.azure import clients
from tasks.azure.clients import Session


def test_mlflow_uses_the_runs_own_credential(session: Session) -> None:
    # Late: when it is imported it reads which cloud there is.
    from azureml.mlflow._internal.service_context_loader import _AzureMLServiceContextLoader

    kept = _AzureMLServiceContextLoader._tracking_uri_to_service_context
    kept.clear()
    client = clients.mlflow(session)
    client.search_experiments(max_results=1)
    (context,) = kept.values()
    assert context.auth is clients.credential(session.browser_login)
