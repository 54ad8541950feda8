"""A seeded workspace: other people's things are there, like all others, and nothing here runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.exceptions import JobException
from typer.testing import CliRunner

from azureml_local import cli, switch
from azureml_local.server import Address, is_served
from azureml_local.settings import PROVIDER, Scenario
from azureml_local.state import quota
from azureml_local.state.documents import JOBS
from azureml_local.state.store import Store
from azureml_local.wire import seed_file
from azureml_local.wire.seed_file import BadSeed
from tests.support import tiny_model
from tests.support.waiting import PATIENCE

WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/local"
    f"/providers/{PROVIDER}/workspaces/local"
)

Ask = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeded")


@pytest.fixture(scope="module")
def client(state: Path) -> Iterator[MLClient]:
    """The SDK's client of a workspace with the seed `shared`."""
    with (
        switch.joined(state, scenario=Scenario(seed=seed_file.SHARED)) as environment,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        yield tiny_model.workspace_client()


@pytest.fixture
def ask(state: Path, client: MLClient) -> Ask:
    address = Address.read(state)
    assert address is not None
    token = client._credential.get_token(f"{address.url}/.default").token

    def send(method: str, path: str, **query: str) -> requests.Response:
        url = path if path.startswith("https:") else f"{address.url}{WORKSPACE}/{path}"
        return requests.request(
            method,
            url,
            params={} if path.startswith("https:") else {"api-version": "2024-04-01", **query},
            headers={"Authorization": f"Bearer {token}"},
            verify=str(state / "tls" / "bundle.pem"),
            timeout=PATIENCE,
        )

    return send


def jobs(ask: Ask) -> list[dict[str, Any]]:
    found, page = [], ask("GET", "jobs").json()
    while True:
        found += page["value"]
        if "nextLink" not in page:
            return found
        page = ask("GET", page["nextLink"]).json()


@pytest.fixture(scope="module")
def found() -> list[dict[str, Any]]:
    """All jobs, once they are listed."""
    return []


@pytest.fixture
def listed(ask: Ask, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All jobs, of thirty pages and more."""
    found[:] = found or jobs(ask)
    return found


@pytest.mark.slow
def test_thousands_of_jobs_are_listed_page_by_page_the_newest_first(listed: list[dict[str, Any]]) -> None:
    found = listed
    seed = seed_file.read(seed_file.SHARED)
    assert len({job["name"] for job in found}) == len(found) == 3000 + len(seed.jobs)
    created = [job["systemData"]["createdAt"] for job in found]
    assert created == sorted(created, reverse=True)
    assert [job["name"] for job in found[: len(seed.jobs)]] == [job["name"] for job in reversed(seed.jobs)]


def test_the_sdks_own_list_does_not_survive_it(client: MLClient) -> None:
    """The evidence for the tests that run in such a workspace (azure-sdk-for-python 33835 and 33882)."""
    with pytest.raises(JobException, match="Unsupported job type Labeling"):
        list(islice(client.jobs.list(), 10))


@pytest.mark.slow
def test_a_job_of_each_kind_is_there(listed: list[dict[str, Any]]) -> None:
    kinds = {job["properties"]["jobType"] for job in listed}
    assert kinds == {"Command", "Pipeline", "Labeling", "AutoML", "Sweep", "Spark"}


def test_endpoints_and_compute_instances_are_there(client: MLClient) -> None:
    endpoints = {each.name: each.provisioning_state for each in client.online_endpoints.list()}
    assert endpoints == {"search-ranking": "Succeeded", "churn-broken": "Failed"}
    assert [each.instance_type for each in client.online_deployments.list("search-ranking")] == [
        "Standard_DS3_v2"
    ]
    computes = {each.name: each.type for each in client.compute.list()}
    assert computes == {"ann-notebook": "computeinstance", "bob-notebook": "computeinstance"}
    assert client.compute.get("bob-notebook").state == "Stopped"


def test_what_others_use_counts_against_the_quota(client: MLClient, state: Path) -> None:
    # Two instances with 4 cores each, and one deployment, for which another machine is reserved.
    store = Store(state / "workspace.sqlite")
    used = {(row.name, row.current) for row in quota.usages(store) if row.current}
    store.close()
    assert used == {("standardDSv2Family", 16), ("TotalDedicatedCores", 16)}


def test_nothing_runs_them_and_whoever_may_can_end_them(ask: Ask) -> None:
    def state(name: str) -> str:
        return str(ask("GET", f"jobs/{name}").json()["properties"]["status"])

    assert (state("street-signs-labels"), state("somebodys-finetune")) == ("Running", "Queued")
    assert ask("POST", "jobs/somebodys-finetune/cancel").status_code == 200
    assert state("somebodys-finetune") == "Canceled"


@pytest.mark.slow
def test_a_workspace_is_seeded_once_and_its_server_ends_while_others_jobs_run(tmp_path: Path) -> None:
    seed = tmp_path / "seed.yaml"
    seed.write_text("jobs: [{name: theirs, status: Running, properties: {jobType: Labeling}}]\nold_jobs: 2\n")
    state = tmp_path / "state"
    for _ in range(2):
        with switch.joined(state, scenario=Scenario(seed=str(seed))):
            address = Address.read(state)
            assert address is not None
            assert switch.ask(state, address, "/admin/live") == {"jobs": [], "endpoints": []}
        assert not is_served(state)
    store = Store(state / "workspace.sqlite")
    found = [(name, job["properties"]["status"], job["number"]) for name, job in store.list(JOBS)]
    store.close()
    assert found == [
        ("old-job-000000", "Completed", 1),
        ("old-job-000001", "Completed", 2),
        ("theirs", "Running", 3),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[", "cannot be read: "),
        ("[1]", "is wrong: it may hold old_jobs, jobs, endpoints, compute_instances and nothing else."),
        ("models: []", "is wrong: it may hold old_jobs, jobs, "),
        ("old_jobs: many", "is wrong: old_jobs must be a number of up to 100000."),
        ("endpoints: [search]", "is wrong: endpoints must be a list of things with a name."),
    ],
)
def test_a_file_that_is_no_seed_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "seed.yaml"
    file.write_text(text)
    with pytest.raises(BadSeed) as refused:
        seed_file.read(str(file))
    assert str(refused.value).startswith(f"The seed {file} {said}")
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_seed_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    none = tmp_path / "none.yaml"
    wrong = CliRunner().invoke(cli.app, ["up", "--state", str(tmp_path / "state"), "--seed", str(none)])
    assert str(wrong.exception) == f"There is no file {none}; or choose shared."
