"""The reap of a deployment: where nobody has used Azure it has nothing to do, and hides nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Crashed

from flows.reap import NOTHING, reap
from tasks.azure.failure import Cause
from tasks.sign_in import Workspace
from tests.support.failures import fails
from tests.support.prefect_server import PrefectServer

AZURE = Workspace(where="azure")


@pytest.fixture(autouse=True)
def nameless(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing says which workspace is meant."""
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def of_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))


@pytest.fixture
def run_in_azure() -> Iterator[None]:
    """A run that has come as far as its plan, and was lost."""
    workspace = {"where": "azure", "subscription_id": "s", "resource_group": "g", "name": "w"}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run(
            flow(name="finetune")(print),
            parameters={"config": {"workspace": workspace}},
            tags=["recipe: phi-3-mini-ultrachat"],
            state=Crashed(),
        )
        yield
        client.delete_flow_run(run.id)


@pytest.mark.usefixtures("of_a_deployment")
def test_where_nobody_has_used_azure_it_completes_and_says_so() -> None:
    state = reap(AZURE, return_state=True)
    assert state.is_completed()
    assert state.message == NOTHING


@pytest.mark.usefixtures("of_a_deployment", "run_in_azure")
def test_once_a_run_was_in_azure_it_fails_and_says_what_is_missing() -> None:
    with fails(Cause.CONFIGURATION, "Which workspace"):
        reap(AZURE)


@pytest.mark.usefixtures("of_a_deployment")
def test_a_workspace_that_is_named_by_halves_is_no_reason_to_do_nothing() -> None:
    with fails(Cause.CONFIGURATION, "resource_group"):
        reap(AZURE.model_copy(update={"name": "w"}))


def test_who_asks_for_it_by_hand_is_told_what_is_missing() -> None:
    with fails(Cause.CONFIGURATION, "Which workspace"):
        reap(AZURE)
