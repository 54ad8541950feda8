"""Deployments when the workspace's server is killed or stopped: they come back and answer, or end with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import ManagedOnlineDeployment, ManagedOnlineEndpoint
from azure.identity import DefaultAzureCredential

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.state.stay import Stay
from tests.azureml_local.test_endpoint import code, deployment, route
from tests.support.waiting import OFTEN, PATIENCE, until

pytestmark = pytest.mark.slow

ENDPOINT = "survivor"


@contextmanager
def workspace(state: Path, stay: Stay | None = None) -> Iterator[MLClient]:
    """Join the workspace of that state, starting its server when none runs."""
    with switch.joined(state, stay=stay) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield MLClient(
            DefaultAzureCredential(),
            environment["AZURE_SUBSCRIPTION_ID"],
            environment["AZURE_RESOURCE_GROUP"],
            environment["AZUREML_WORKSPACE_NAME"],
            polling_interval=OFTEN,
        )


def kill_server(state: Path) -> None:
    address = Address.read(state)
    assert address is not None
    server = psutil.Process(address.pid)
    os.kill(address.pid, signal.SIGKILL)
    server.wait()


def pid(client: MLClient) -> int | None:
    """The process that answers for the endpoint, None when none does."""
    found = client.online_endpoints.get(ENDPOINT)
    key = client.online_endpoints.get_keys(ENDPOINT).primary_key
    answer = requests.post(
        found.scoring_uri, json={}, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
    )
    return int(answer.json()["pid"]) if answer.status_code == 200 else None


def deploy(client: MLClient, wanted: ManagedOnlineDeployment, **tags: str) -> None:
    endpoint = ManagedOnlineEndpoint(name=ENDPOINT, auth_mode="key", tags=tags)
    client.online_endpoints.begin_create_or_update(endpoint).result()
    client.online_deployments.begin_create_or_update(wanted).result()
    route(client, ENDPOINT, {"demo": 100})


def test_a_deployment_outlives_its_server_and_ends_with_the_workspace(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with workspace(state) as client:
        deploy(client, deployment(ENDPOINT, "demo", code(tmp_path)))
        first = pid(client)
        assert first is not None
        kill_server(state)
        assert psutil.pid_exists(first)

        with workspace(state) as again:
            assert pid(again) == first  # adopted
            kill_server(state)
            os.kill(first, signal.SIGKILL)
            with workspace(state) as third:
                until(lambda: pid(third) is not None)  # started anew
                last = pid(third)
                assert last is not None
                assert running(switch.ask(state, current(state), "/admin/ledger")) == [f"{ENDPOINT}/demo"]
    until(lambda: not psutil.pid_exists(last))

    with workspace(state) as client:  # stopped in good order, the deployment still comes back
        until(lambda: pid(client) is not None)


def test_a_deployment_that_was_starting_is_completed_by_the_next_server(tmp_path: Path) -> None:
    state, began, release = tmp_path / "state", tmp_path / "began", tmp_path / "release"
    slow = (
        "import os, time\nfrom pathlib import Path\n"
        f"def init():\n    Path({str(began)!r}).touch()\n"
        f"    while not Path({str(release)!r}).exists(): time.sleep(0.02)\n"
        "def run(raw):\n    return {'pid': os.getpid()}\n"
    )
    with workspace(state) as client:
        endpoint = ManagedOnlineEndpoint(name=ENDPOINT, auth_mode="key")
        client.online_endpoints.begin_create_or_update(endpoint).result()
        poller = client.online_deployments.begin_create_or_update(
            deployment(ENDPOINT, "demo", code(tmp_path, script=slow))
        )
        until(began.exists)
        kill_server(state)
        with workspace(state) as again:
            assert again.online_deployments.get("demo", ENDPOINT).provisioning_state == "Creating"
            release.touch()
            until(lambda: again.online_deployments.get("demo", ENDPOINT).provisioning_state == "Succeeded")
            assert poller.result().provisioning_state == "Succeeded"
            again.online_endpoints.begin_delete(ENDPOINT).wait()


def test_a_workspace_stays_for_an_endpoint_that_is_kept_and_ends_by_itself_after_it(tmp_path: Path) -> None:
    state, until_then = tmp_path / "state", (datetime.now(UTC) + timedelta(hours=4)).isoformat()
    with workspace(state, Stay(marked="kept", until="expires")) as client:
        wanted = deployment(ENDPOINT, "demo", code(tmp_path))
        deploy(client, wanted, kept="true", expires=until_then)
        first = pid(client)
    server = current(state)
    assert server.leaves
    with workspace(state) as client:  # whoever comes finds the same, and ends nothing by going
        assert pid(client) == first
    assert current(state) == server
    switch.ask(state, server, "/admin/clock", {"seconds": 5 * 3600})
    assert first is not None
    until(lambda: not psutil.pid_exists(first))


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        ({"kept": "true", "expires": "never"}, True),
        ({"kept": "true", "expires": "2026-01-02T00:00:00"}, True),
        ({"kept": "true", "expires": "2026-01-01T00:00:00+00:00"}, False),
        ({"kept": "true", "expires": "soon"}, False),
        ({"kept": "true"}, False),
        ({"expires": "never"}, False),
        ({}, False),
    ],
)
def test_tags_say_whether_an_endpoint_is_wanted(tags: dict[str, str], wanted: bool) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert Stay(marked="kept", until="expires").wanted(tags, noon) is wanted


def current(state: Path) -> Address:
    address = Address.read(state)
    assert address is not None
    return address


def running(ledger: dict[str, Any]) -> list[str]:
    return [row["name"] for row in ledger["rows"] if row["running"]]
