"""Long operations: their headers, their states in order, stepped by hand and driven by time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
    assert (error["code"], error["message"]) == (None, "Conflict: The name is taken.")
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


@dataclass(frozen=True)
class Long:
    """A resource whose creation takes time, and the word for what is under way."""

    path: str
    body: dict[str, Any]
    collection: str
    word: str
    asks_to_wait: bool


CLUSTER = Long(
    "computes/cluster",
    {"properties": {"computeType": "AmlCompute", "properties": SIZE}},
    "computeOperationsStatus",
    "InProgress",
    asks_to_wait=True,
)
ENDPOINT = Long(
    "onlineEndpoints/endpoint",
    {"location": "local", "properties": {"authMode": "Key"}},
    "mfeOperationsStatus",
    "Updating",
    asks_to_wait=False,
)


@pytest.mark.parametrize("long", [CLUSTER, ENDPOINT], ids=["compute", "endpoint"])
def test_the_wire_shows_every_state_of_a_life_stepped_by_hand(manual: Manual, long: Long) -> None:
    session, resource = manual.session, f"{manual.url}{WORKSPACE}/{long.path}?api-version=2024-04-01"
    begun = session.put(resource, json=long.body)
    assert begun.status_code == 201
    assert begun.json()["properties"]["provisioningState"] == "Creating"
    assert ("Retry-After" in begun.headers) == long.asks_to_wait
    assert begun.headers.get("x-ms-async-operation-timeout") == (None if long is CLUSTER else "PT30M")
    assert ("Location" in begun.headers) == (long is not CLUSTER)
    poll = begun.headers["Azure-AsyncOperation"]
    assert f"/{long.collection}/" in poll
    running = session.get(poll)
    assert running.json()["status"] == long.word
    assert running.json()["endTime"] == "0001-01-01T00:00:00+00:00"
    assert ("Retry-After" in running.headers) == long.asks_to_wait
    assert manual.provisioning(resource) == "Creating"
    manual.step()
    ended = session.get(poll).json()
    assert (ended["status"], ended["percentComplete"]) == ("Succeeded", 0.0)
    assert ended["startTime"] <= ended["endTime"]
    assert manual.provisioning(resource) == "Succeeded"

    deleted = session.delete(resource + "&underlyingResourceAction=Delete")
    assert (deleted.status_code, deleted.text) == (202, "null")
    assert "Azure-AsyncOperation" in deleted.headers
    assert session.get(deleted.headers["Location"]).status_code == 202
    assert manual.provisioning(resource) == "Deleting"
    manual.step()
    assert session.get(deleted.headers["Location"]).status_code in (200, 204)
    assert session.get(resource).status_code == 404


def test_an_endpoints_operation_is_polled_as_it_was_given(manual: Manual) -> None:
    resource = f"{manual.url}{WORKSPACE}/onlineEndpoints/signed?api-version=2024-04-01"
    begun = manual.session.put(resource, json=ENDPOINT.body)
    poll = begun.headers["Azure-AsyncOperation"]
    query = parse_qs(urlsplit(poll).query)
    assert query.keys() == {"api-version", "t", "c", "s", "h"}
    operation = urlsplit(poll).path.rsplit("/", 1)[1]
    assert re.fullmatch(r"oeidp:[0-9a-f-]{36}:[0-9a-f-]{36}", operation)
    assert manual.session.get(poll.replace("&h=", "&h=0")).status_code == 403
    assert manual.session.get(poll.replace("&t=", "&t=1")).status_code == 403
    noted = begun.json()["properties"]["properties"]["AzureAsyncOperationUri"]
    assert noted == poll.partition("&t=")[0]
    manual.step()
    assert manual.session.get(noted).json()["status"] == "Succeeded"


def test_a_changed_endpoint_has_no_address_until_its_operation_has_ended(manual: Manual) -> None:
    resource = f"{manual.url}{WORKSPACE}/onlineEndpoints/changed?api-version=2024-04-01"
    body = {**ENDPOINT.body, "identity": {"type": "SystemAssigned"}}
    made = manual.session.put(resource, json=body).json()
    assert made["identity"].keys() == {"type", "principalId", "tenantId"}
    manual.step()
    before = manual.session.get(resource).json()
    assert before["properties"]["scoringUri"]

    begun = manual.session.put(resource, json={**body, "tags": {"new": "tag"}})
    assert begun.status_code == 201
    answer = begun.json()
    assert (answer["properties"]["provisioningState"], answer["properties"]["scoringUri"]) == (
        "Creating",
        None,
    )
    assert not answer.keys() & {"location", "identity"}
    between = manual.session.get(resource).json()["properties"]
    assert (between["provisioningState"], between["scoringUri"]) == ("Updating", None)
    manual.step()
    after = manual.session.get(resource).json()
    assert after["properties"]["scoringUri"] == before["properties"]["scoringUri"]
    assert (after["identity"], after["tags"]) == (made["identity"], {"new": "tag"})


def _token(session: requests.Session, environment: dict[str, str]) -> Any:
    answer = session.get(
        environment["IDENTITY_ENDPOINT"],
        params={"api-version": "2019-08-01", "resource": "https://management.azure.com"},
        headers={"X-IDENTITY-HEADER": environment["IDENTITY_HEADER"]},
    )
    return answer.json()["access_token"]
