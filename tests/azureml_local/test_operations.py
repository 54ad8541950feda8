"""Long operations: their headers, their states in order, stepped by hand and driven by time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from azureml_local import switch
from azureml_local.errors import Conflict
from azureml_local.server import Address
from azureml_local.state.clock import Clock
from azureml_local.state.operations import Operations
from azureml_local.state.store import Store
from azureml_local.state.transitions import Transition

WORKSPACE = (
    "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/local"
    "/providers/Microsoft.MachineLearningServices/workspaces/local"
)
CREATE = Transition("Creating", "Succeeded", 0.05)
DELETE = Transition("Deleting", None, 0.05)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store.sqlite")
    store.put("things", "a", {"properties": {}})
    yield store
    store.close()


def _state(store: Store) -> str | None:
    document = store.get("things", "a")
    return None if document is None else str(document["properties"]["provisioningState"])


def test_at_the_pace_instant_an_operation_has_ended_when_it_has_begun(store: Store) -> None:
    operations = Operations(store, Clock(), "instant")
    operation = operations.begin("things", "a", CREATE)
    assert operations.get(operation)["status"] == "Succeeded"
    assert _state(store) == "Succeeded"
    operations.begin("things", "A", DELETE)
    assert store.get("things", "a") is None


def test_at_the_pace_manual_an_operation_waits_for_its_step(store: Store) -> None:
    operations = Operations(store, Clock(), "manual")
    operation = operations.begin("things", "a", CREATE)
    assert (operations.get(operation)["status"], _state(store)) == ("InProgress", "Creating")
    assert operations.in_progress("things", "a") == [operation]
    operations.step(operation)
    assert (operations.get(operation)["status"], _state(store)) == ("Succeeded", "Succeeded")


def test_at_the_pace_real_an_operation_takes_its_time(store: Store) -> None:
    operations = Operations(store, Clock(), "real")
    operation = operations.begin("things", "a", CREATE)
    assert _state(store) == "Creating"
    _until(lambda: _state(store) == "Succeeded")
    assert operations.get(operation)["status"] == "Succeeded"


def test_work_that_fails_is_the_operations_error(store: Store) -> None:
    def work() -> None:
        raise Conflict("The name is taken.")

    operations = Operations(store, Clock(), "instant")
    operation = operations.begin("things", "a", CREATE, work=work)
    _until(lambda: operations.get(operation)["status"] == "Failed")
    assert operations.get(operation)["error"]["message"] == "The name is taken."
    assert _state(store) == "Failed"


def test_an_unfinished_operation_goes_on_after_a_restart(store: Store) -> None:
    before = Operations(store, Clock(), "manual")
    operation = before.begin("things", "a", CREATE)
    after = Operations(store, Clock(), "instant")
    after.resume()
    assert (after.get(operation)["status"], _state(store)) == ("Succeeded", "Succeeded")


def test_the_wire_shows_every_state_of_a_creation_stepped_by_hand(tmp_path: Path) -> None:
    with switch.joined(tmp_path, pace="manual") as environment, requests.Session() as session:
        url = environment["AZUREML_LOCAL_URL"]
        session.trust_env = False
        session.verify = environment["REQUESTS_CA_BUNDLE"]
        session.headers["Authorization"] = f"Bearer {_token(session, environment)}"
        compute = f"{url}{WORKSPACE}/computes/cluster?api-version=2024-04-01"
        body = {"properties": {"computeType": "AmlCompute", "properties": {"vmSize": "Standard_DS3_v2"}}}
        begun = session.put(compute, json=body)
        assert begun.status_code == 201
        assert begun.json()["properties"]["provisioningState"] == "Creating"
        assert begun.headers["Location"] == compute
        assert int(begun.headers["Retry-After"]) > 0
        poll = begun.headers["Azure-AsyncOperation"]
        assert session.get(poll).json()["status"] == "InProgress"
        assert session.get(compute).json()["properties"]["provisioningState"] == "Creating"
        address = Address.read(tmp_path)
        assert address
        switch.ask(tmp_path, address, "/admin/operations/step", {})
        ended = session.get(poll).json()
        assert (ended["status"], ended["percentComplete"]) == ("Succeeded", 100.0)
        assert ended["startTime"] <= ended["endTime"]
        assert session.get(compute).json()["properties"]["provisioningState"] == "Succeeded"

        deleted = session.delete(compute + "&underlyingResourceAction=Delete")
        assert deleted.status_code == 202
        assert session.get(deleted.headers["Location"]).status_code == 202
        switch.ask(tmp_path, address, "/admin/operations/step", {})
        assert session.get(deleted.headers["Location"]).status_code == 204
        assert session.get(compute).status_code == 404


def _token(session: requests.Session, environment: dict[str, str]) -> Any:
    answer = session.get(
        environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": "https://management.azure.com"},
        headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
    )
    return answer.json()["access_token"]


def _until(condition: Callable[[], bool], limit: float = 20.0) -> None:
    ends = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)
