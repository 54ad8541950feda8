"""Long operations: their headers, their states in order, stepped by hand and driven by time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from azureml_local import switch
from azureml_local.errors import Conflict
from azureml_local.server import Address
from azureml_local.state.clock import Clock
from azureml_local.state.document import Json, Kind
from azureml_local.state.operations import Operations
from azureml_local.state.store import Store
from azureml_local.state.transitions import Transition
from tests.support.waiting import PATIENCE, until

WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/local"
    "/providers/Microsoft.MachineLearningServices/workspaces/local"
)
SIZE = {"vmSize": "Standard_DS3_v2"}
CREATE = Transition("Creating", "Succeeded", 0.05)
THINGS = Kind[Json]("things")
DELETE = Transition("Deleting", None, 0.05)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store.sqlite")
    store.put(THINGS, "a", {"properties": {}})
    yield store
    store.close()


def _state(store: Store) -> str | None:
    document = store.get(THINGS, "a")
    return None if document is None else str(document["properties"]["provisioningState"])


def test_at_the_pace_instant_an_operation_has_ended_when_it_has_begun(store: Store) -> None:
    operations = Operations(store, Clock(), "instant")
    operation = operations.begin(THINGS, "a", CREATE)
    assert operations.get(operation)["status"] == "Succeeded"
    assert _state(store) == "Succeeded"
    operations.begin(THINGS, "A", DELETE)
    assert store.get(THINGS, "a") is None


def test_at_the_pace_manual_an_operation_waits_for_its_step(store: Store) -> None:
    operations = Operations(store, Clock(), "manual")
    operation = operations.begin(THINGS, "a", CREATE)
    assert (operations.get(operation)["status"], _state(store)) == ("InProgress", "Creating")
    assert operations.in_progress(THINGS, "a") == [operation]
    operations.step(operation)
    assert (operations.get(operation)["status"], _state(store)) == ("Succeeded", "Succeeded")


def test_at_the_pace_real_an_operation_takes_its_time(store: Store) -> None:
    operations = Operations(store, Clock(), "real")
    operation = operations.begin(THINGS, "a", CREATE)
    assert _state(store) == "Creating"
    until(lambda: _state(store) == "Succeeded")
    assert operations.get(operation)["status"] == "Succeeded"


def test_at_the_pace_real_quick_work_is_no_shortcut(store: Store) -> None:
    operations, worked = Operations(store, Clock(), "real"), threading.Event()
    began = time.monotonic()
    operations.begin(THINGS, "a", DELETE, work=worked.set)
    assert worked.wait(PATIENCE)
    until(lambda: _state(store) is None)
    assert time.monotonic() - began >= DELETE.seconds


def test_work_that_fails_is_the_operations_error(store: Store) -> None:
    def work() -> None:
        raise Conflict("The name is taken.")

    operations = Operations(store, Clock(), "instant")
    operation = operations.begin(THINGS, "a", CREATE, work=work)
    until(lambda: operations.get(operation)["status"] == "Failed")
    error = operations.get(operation)["error"]
    assert error is not None
    assert error["message"] == "The name is taken."
    assert _state(store) == "Failed"


def test_an_unfinished_operation_goes_on_after_a_restart(store: Store) -> None:
    before = Operations(store, Clock(), "manual")
    operation = before.begin(THINGS, "a", CREATE)
    after = Operations(store, Clock(), "instant")
    after.resume()
    assert (after.get(operation)["status"], _state(store)) == ("Succeeded", "Succeeded")


@dataclass(frozen=True)
class Manual:
    """A workspace whose operations wait until they are stepped."""

    state: Path
    session: requests.Session
    url: str

    def step(self) -> None:
        address = Address.read(self.state)
        assert address
        switch.ask(self.state, address, "/admin/operations/step", {})

    def provisioning(self, resource: str) -> str:
        return str(self.session.get(resource).json()["properties"]["provisioningState"])


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manual]:
    state = tmp_path_factory.mktemp("manual")
    with switch.joined(state, pace="manual") as environment, requests.Session() as session:
        session.trust_env = False
        session.verify = environment["REQUESTS_CA_BUNDLE"]
        session.headers["Authorization"] = f"Bearer {_token(session, environment)}"
        yield Manual(state, session, environment["AZUREML_LOCAL_URL"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("computes/cluster", {"properties": {"computeType": "AmlCompute", "properties": SIZE}}),
        ("onlineEndpoints/endpoint", {"location": "local", "properties": {"authMode": "Key"}}),
    ],
)
def test_the_wire_shows_every_state_of_a_life_stepped_by_hand(
    manual: Manual, path: str, body: dict[str, Any]
) -> None:
    session, resource = manual.session, f"{manual.url}{WORKSPACE}/{path}?api-version=2024-04-01"
    begun = session.put(resource, json=body)
    assert begun.status_code == 201
    assert begun.json()["properties"]["provisioningState"] == "Creating"
    assert int(begun.headers["Retry-After"]) > 0
    poll = begun.headers["Azure-AsyncOperation"]
    assert session.get(poll).json()["status"] == "InProgress"
    assert manual.provisioning(resource) == "Creating"
    manual.step()
    ended = session.get(poll).json()
    assert (ended["status"], ended["percentComplete"]) == ("Succeeded", 100.0)
    assert ended["startTime"] <= ended["endTime"]
    assert manual.provisioning(resource) == "Succeeded"

    deleted = session.delete(resource + "&underlyingResourceAction=Delete")
    assert deleted.status_code == 202
    assert session.get(deleted.headers["Location"]).status_code == 202
    assert manual.provisioning(resource) == "Deleting"
    manual.step()
    assert session.get(deleted.headers["Location"]).status_code in (200, 204)
    assert session.get(resource).status_code == 404


def _token(session: requests.Session, environment: dict[str, str]) -> Any:
    answer = session.get(
        environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": "https://management.azure.com"},
        headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
    )
    return answer.json()["access_token"]
