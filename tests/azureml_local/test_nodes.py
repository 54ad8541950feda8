"""A cluster's nodes at the pace `real`: booted, used, idle, gone, and billed for all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from azureml_local import switch
from azureml_local.server import Address
from tests.support.waiting import until

pytestmark = pytest.mark.slow

IDLE = 600  # seconds
ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
Admin = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """Asks the admin routes of a workspace of its own, whose clock the tests move."""
    state = tmp_path_factory.mktemp("paced")
    with switch.joined(state, pace="real") as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        address = Address(variables["AZUREML_LOCAL_URL"], 0)
        yield lambda path, body=None: switch.ask(state, address, f"/admin/{path}", body)


@pytest.fixture
def client(admin: Admin) -> Any:
    """A client with a token of its own: those of earlier tests have expired with the clock."""
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
    return MLClient(DefaultAzureCredential(), *(os.environ[name] for name in names))


def create(client: Any, name: str, **settings: Any) -> str:
    from azure.ai.ml.entities import AmlCompute

    cluster = AmlCompute(name=name, size="Standard_DS3_v2", idle_time_before_scale_down=IDLE, **settings)
    client.compute.begin_create_or_update(cluster)
    return name


def submit(client: Any, cluster: str, go: Path, nodes: int = 1) -> str:
    """A job that runs until the file is there."""
    from azure.ai.ml import command

    waits = f"i=0; while [ ! -e {go} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done"
    job = command(command=waits, environment=ENVIRONMENT, compute=cluster, instance_count=nodes)
    name: str = client.jobs.create_or_update(job).name
    return name


def live(client: Any, cluster: str) -> dict[str, Any]:
    """What the cluster says of its nodes."""
    operations = client.compute._operation
    scope = client.compute._operation_scope
    found = operations.get(scope.resource_group_name, client.workspace_name, cluster)
    properties: dict[str, Any] = found.properties.properties.as_dict()
    return properties


def rows(admin: Admin, cluster: str) -> list[dict[str, Any]]:
    return [row for row in admin("ledger")["rows"] if row["name"] == cluster]


def is_in(client: Any, job: str, state: str) -> bool:
    return bool(client.jobs.get(job).status == state)


def test_a_node_is_billed_from_its_allocation_to_the_end_of_its_idle_time(
    client: Any, admin: Admin, tmp_path: Path
) -> None:
    cluster = create(client, "one")
    assert rows(admin, cluster) == []
    job = submit(client, cluster, tmp_path / "go")
    (row,) = until(lambda: rows(admin, cluster))
    booting = live(client, cluster)
    assert booting["allocationState"] == "Resizing"
    assert (booting["currentNodeCount"], booting["nodeStateCounts"]["preparingNodeCount"]) == (1, 1)
    assert client.jobs.get(job).status == "Queued"
    until(lambda: is_in(client, job, "Running"))
    running = live(client, cluster)
    assert (running["allocationState"], running["nodeStateCounts"]["runningNodeCount"]) == ("Steady", 1)
    run = client.jobs._runs_operations.get_run(job)
    allocated = datetime.fromisoformat(row["started"])
    assert run.start_time_utc - allocated > timedelta(seconds=6)  # booted, and its image pulled
    admin("clock", {"seconds": 1800})
    (tmp_path / "go").touch()
    until(lambda: is_in(client, job, "Completed"))
    assert live(client, cluster)["nodeStateCounts"]["idleNodeCount"] == 1
    admin("clock", {"seconds": IDLE / 2})
    (row,) = rows(admin, cluster)
    assert row["idle"]
    admin("clock", {"seconds": IDLE})
    (row,) = rows(admin, cluster)
    ended = client.jobs._runs_operations.get_run(job).end_time_utc
    assert not row["idle"]
    assert row["seconds"] == pytest.approx((ended - allocated).total_seconds() + IDLE, abs=5)
    assert row["dollars"] == pytest.approx(row["seconds"] * row["hourlyPrice"] / 3600, abs=1e-5)
    assert live(client, cluster)["currentNodeCount"] == 0


def test_an_idle_node_is_taken_again_and_a_second_one_is_allocated_beside_it(
    client: Any, admin: Admin, tmp_path: Path
) -> None:
    cluster = create(client, "two", max_instances=2)
    (tmp_path / "go").touch()
    first = submit(client, cluster, tmp_path / "go")
    until(lambda: is_in(client, first, "Completed"))
    (idle,) = rows(admin, cluster)
    second = submit(client, cluster, tmp_path / "later", nodes=2)
    until(lambda: is_in(client, second, "Running"))
    again, new = rows(admin, cluster)
    assert (again["id"], again["running"], new["running"]) == (idle["id"], True, True)
    assert (idle["uses"], again["uses"], new["uses"]) == (1, 2, 1)
    assert live(client, cluster)["nodeStateCounts"]["runningNodeCount"] == 2
    client.compute.begin_delete(cluster)  # takes idle nodes at once, and running ones with their job
    until(lambda: is_in(client, second, "Failed"))
    assert [row["running"] or row["idle"] for row in rows(admin, cluster)] == [False] * 2


def test_nodes_that_a_cluster_keeps_are_billed_from_its_creation(client: Any, admin: Admin) -> None:
    cluster = create(client, "kept", min_instances=1, max_instances=2)
    (row,) = rows(admin, cluster)
    admin("clock", {"seconds": 3 * IDLE})
    (row,) = rows(admin, cluster)
    assert row["idle"]
    assert row["seconds"] == pytest.approx(3 * IDLE, abs=30)
    assert live(client, cluster)["nodeStateCounts"]["idleNodeCount"] == 1
    client.compute.begin_delete(cluster)
    assert [row["idle"] for row in rows(admin, cluster)] == [False]


def test_a_cancelled_job_leaves_its_node_idle_first(client: Any, admin: Admin, tmp_path: Path) -> None:
    cluster = create(client, "cancelled")
    job = submit(client, cluster, tmp_path / "go")
    until(lambda: is_in(client, job, "Running"))
    client.jobs.begin_cancel(job)
    until(lambda: is_in(client, job, "Canceled"))
    (row,) = rows(admin, cluster)
    assert row["idle"]
    admin("clock", {"seconds": IDLE + 1})
    (row,) = rows(admin, cluster)
    assert not row["idle"]
    assert row["seconds"] >= IDLE
