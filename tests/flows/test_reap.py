"""The reap of a deployment: where nobody has used Azure it has nothing to do, and hides nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.variables import Variable

from flows.reap import NOTHING, Unfinished, reap
from flows.run import workspaces
from flows.run.flow_runs import flow_runs
from tasks.azure.failure import Cause
from tasks.sign_in import Workspace
from tests.conftest import LetFail, LocalServer
from tests.support.failures import fails
from tests.support.prefect_server import PrefectServer

AZURE = Workspace(where="azure")


@pytest.fixture(autouse=True)
def nameless(prefect_server: PrefectServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing says which workspace is meant, and no run that another test has left on the server."""
    for name in ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    if Variable.get("finetune_workspaces") is not None:
        Variable.unset("finetune_workspaces")  # what a test before this one has remembered
    forget_runs()


def forget_runs() -> None:
    """Delete all runs of the server, whoever has put them there."""
    with get_client(sync_client=True) as client:
        for run in flow_runs(client):
            client.delete_flow_run(run.id)


@pytest.fixture
def of_a_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(uuid4()))


@pytest.fixture
def past_run() -> Iterator[Callable[..., None]]:
    """Puts runs into the server that have come as far as their plan, and were lost."""
    made: list[UUID] = []

    def put(**workspace: str) -> None:
        with get_client(sync_client=True) as client:
            run = client.create_flow_run(
                flow(name="finetune")(print),
                parameters={"workspace": {"where": "azure", **workspace}},
                tags=["recipe: phi-4-ultrachat"],
                state=Crashed(),
            )
        made.append(run.id)

    yield put
    with get_client(sync_client=True) as client:
        for run in made:
            with suppress(ObjectNotFound):
                client.delete_flow_run(run)


@pytest.fixture
def here(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A workspace that is reached as one in Azure is, and that nothing but a run names."""
    names = {
        "subscription_id": "AZURE_SUBSCRIPTION_ID",
        "resource_group": "AZURE_RESOURCE_GROUP",
        "name": "AZUREML_WORKSPACE_NAME",
    }
    for name, value in server.environment.items():
        if name not in names.values():
            monkeypatch.setenv(name, value)
    return {field: server.environment[name] for field, name in names.items()}


@pytest.mark.usefixtures("of_a_deployment")
def test_where_nobody_has_used_azure_it_completes_and_says_so() -> None:
    state = reap(AZURE, return_state=True)
    assert state.is_completed()
    assert state.message == NOTHING


@pytest.mark.usefixtures("of_a_deployment")
def test_once_a_run_was_in_azure_it_fails_and_says_what_is_missing(past_run: Callable[..., None]) -> None:
    past_run()
    with fails(Cause.CONFIGURATION, "Which workspace"):
        reap(AZURE)


@pytest.mark.slow
@pytest.mark.usefixtures("of_a_deployment")
def test_every_workspace_that_a_past_run_names_is_looked_at_once(
    past_run: Callable[..., None], here: dict[str, str]
) -> None:
    past_run(**here)
    past_run(**{name: value.upper() for name, value in here.items()})
    past_run(**{**here, "name": "deleted-since"})  # with all that it held
    reaping = reap(AZURE)
    assert [one.casefold().rsplit("/", 1)[-1] for one in reaping.workspaces] == [here["name"].casefold()]
    assert reaping.unseen == {}


@pytest.mark.slow
def test_runs_are_read_once_and_their_workspaces_remembered(
    past_run: Callable[..., None], of_a_deployment: None, here: dict[str, str]
) -> None:
    past_run(**here)
    first = workspaces.known(AZURE)
    forget_runs()
    assert workspaces.known(AZURE) == first  # also when Prefect has forgotten the runs
    Variable.set("finetune_workspaces", "edited by hand", overwrite=True)
    assert here["name"] not in [one.name for one in workspaces.known(AZURE)]


@pytest.mark.slow
@pytest.mark.usefixtures("of_a_deployment")
def test_a_workspace_that_cannot_be_looked_at_stops_no_other(
    past_run: Callable[..., None], here: dict[str, str], let_fail: LetFail
) -> None:
    past_run(**here)
    past_run(**{**here, "name": "refused"})
    let_fail(
        {"kind": "status", "method": "GET", "path": "/**/workspaces/refused", "status": 403, "count": None}
    )
    with pytest.raises(Unfinished, match=r"NOT LOOKED AT: the workspace refused\.") as caught:
        reap(AZURE)
    assert caught.value.reaping is not None
    assert len(caught.value.reaping.workspaces) == 1


def test_a_kind_that_cannot_be_listed_is_said_at_the_end(here: dict[str, str], let_fail: LetFail) -> None:
    let_fail({"kind": "status", "method": "GET", "path": "/**/computes", "status": 403, "count": None})
    with pytest.raises(Unfinished, match=f"NOT LOOKED AT: clusters in {here['name']}"):
        reap(Workspace(where="azure", **here), dry_run=True)


@pytest.mark.usefixtures("of_a_deployment")
def test_a_workspace_that_is_named_by_halves_is_no_reason_to_do_nothing() -> None:
    with fails(Cause.CONFIGURATION, "resource_group"):
        reap(AZURE.model_copy(update={"name": "w"}))


def test_who_asks_for_it_by_hand_is_told_what_is_missing() -> None:
    with fails(Cause.CONFIGURATION, "Which workspace"):
        reap(AZURE)
