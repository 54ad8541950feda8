"""The compute stage against the service: what it finds, creates and refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.azure.errors import is_missing
from tasks.azure.failure import Cause
from tasks.base_model import Base, BaseModelVersion, find_model
from tasks.compute import Cluster, Compute, find_compute
from tasks.core.lease import PREFIX, Lease
from tests.conftest import LetFail
from tests.support.failures import fails

TAGGED, IN_METADATA = "Phi-3-mini-4k-instruct", "Phi-4"
VERSIONS = {TAGGED: "15"}  # a label does not find what is archived
A100, T4, CPU = "Standard_NC24ads_A100_v4", "Standard_NC4as_T4_v3", "Standard_DS3_v2"


@pytest.fixture
def name(session: Session) -> Iterator[str]:
    """A cluster's name that is free, and free again after the test."""
    chosen = f"c-{uuid4().hex[:8]}"
    yield chosen
    computes = clients.workspace(session).compute
    if chosen in [found.name for found in computes.list()]:
        computes.begin_delete(chosen).result()


def model(session: Session, name: str) -> BaseModelVersion:
    return find_model.fn(session, Base(name=name, version=VERSIONS.get(name), allow_retired=True))


def without_list(session: Session, tiny: str) -> BaseModelVersion:
    return model(session, tiny).model_copy(update={"finetune_sizes": None})


def create(session: Session, name: str, size: str, **settings: Any) -> None:
    from azure.ai.ml.entities import AmlCompute

    computes = clients.workspace(session).compute
    computes.begin_create_or_update(AmlCompute(name=name, size=size, **settings)).result()


def find(session: Session, base: BaseModelVersion, lease: Lease, **settings: Any) -> Cluster:
    return find_compute.fn(session, Compute(**settings), base, lease)


def exists(session: Session, name: str) -> bool:
    try:
        clients.workspace(session).compute.get(name)
    except Exception as error:
        if is_missing(error):
            return False
        raise
    return True


def test_a_missing_cluster_is_created_with_its_lease_and_an_idle_time_out(
    session: Session, name: str, lease: Lease
) -> None:
    made = find(session, model(session, IN_METADATA), lease, name=name, size=A100, idle_seconds=90)
    assert made == Cluster(name=name, size=A100, gpus=1, nodes=1, price=made.price, created=True)
    assert made.price > 1
    found = clients.workspace(session).compute.get(name)
    assert (found.idle_time_before_scale_down, found.min_instances, found.max_instances) == (90, 0, 1)
    assert found.tags[f"{PREFIX}run"] == lease.run
    assert not find(session, model(session, IN_METADATA), lease, name=name).created


@pytest.mark.parametrize("base", [TAGGED, IN_METADATA])
def test_a_size_off_the_models_allow_list_is_refused(
    session: Session, name: str, lease: Lease, base: str
) -> None:
    create(session, name, T4)
    with fails(Cause.COMPUTE, base, T4, A100):
        find(session, model(session, base), lease, name=name)


@pytest.mark.parametrize("base", [TAGGED, IN_METADATA])
def test_the_allow_list_knows_no_case(session: Session, name: str, lease: Lease, base: str) -> None:
    create(session, name, A100.upper())
    assert find(session, model(session, base), lease, name=name).gpus == 1


def test_a_cluster_of_a_refused_size_is_not_created(session: Session, name: str, lease: Lease) -> None:
    with fails(Cause.COMPUTE, T4):
        find(session, model(session, TAGGED), lease, name=name, size=T4)
    assert not exists(session, name)


@pytest.mark.parametrize("size", ["Standard_NC6", "STANDARD_NC24R"])
def test_k80_machines_are_refused_where_the_model_has_no_list(
    session: Session, name: str, lease: Lease, tiny: str, size: str
) -> None:
    with fails(Cause.COMPUTE, "K80", "V100"):
        find(session, without_list(session, tiny), lease, name=name, size=size)
    assert not exists(session, name)


def test_a_cluster_without_gpus_is_refused_where_the_model_has_no_list(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    create(session, name, CPU)
    with fails(Cause.COMPUTE, f"{CPU} has no GPU", "compute.name"):
        find(session, without_list(session, tiny), lease, name=name)


def test_a_missing_cluster_that_must_not_be_created_is_named(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    with fails(Cause.NOT_FOUND, name, "compute.create"):
        find(session, model(session, tiny), lease, name=name, size=T4, create=False)


def test_a_size_that_the_region_lacks_is_answered_with_those_it_has(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    with fails(Cause.COMPUTE, "Standard_NC5", A100):
        find(session, model(session, tiny), lease, name=name, size="Standard_NC5")


def test_a_cluster_too_small_for_the_nodes_wanted_is_refused(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    create(session, name, T4, max_instances=1)
    with fails(Cause.COMPUTE, name, "compute.nodes"):
        find(session, model(session, tiny), lease, name=name, nodes=2, max_nodes=2)


def test_quota_reads_as_what_to_do(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    let_fail({"kind": "quota", "method": "PUT", "path": f"computes/{name}"})
    with fails(Cause.QUOTA, "more cores") as caught:
        find(session, model(session, tiny), lease, name=name, size=T4)
    assert "ClusterCoreQuotaReached" in caught.value.details
    assert not caught.value.retryable


def test_a_failed_cluster_is_reported_with_its_state(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    create(session, name, T4)
    body = clients.read(session, f"{session.workspace_id}/computes/{name}", "2023-08-01-preview")
    body["properties"]["provisioningState"] = "Failed"
    let_fail({"kind": "status", "method": "GET", "path": f"computes/{name}", "status": 200, "body": body})
    with fails(Cause.COMPUTE, name, "state failed"):
        find(session, model(session, tiny), lease, name=name)
