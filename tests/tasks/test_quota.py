"""Quota: what fits, what never fits, what is in use at the moment; told before anything is paid for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import AmlCompute
from azure.core.exceptions import HttpResponseError

from azureml_local.state import access
from azureml_local.state import quota as limits
from azureml_local.state.store import Store
from tasks import compute, quota
from tasks.azure import sizes
from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.base_model import BaseModelVersion
from tasks.compute import Compute, find_compute
from tasks.core.lease import Lease
from tasks.deploy import Deploy, check_deployment
from tasks.job.queue import QueueWatch
from tasks.quota import Need, Usage, Verdict
from tests.conftest import LetFail, LocalServer
from tests.support.any_model import ANY_MODEL
from tests.support.waiting import until

A100 = "StandardNCADSA100v4Family"
T4 = "Standard NCASv3_T4 Family"
FAMILY = "vmFamily/dedicatedCores/usages"
LOW = "vmFamily/lowPriorityCores/usages"


def row(name: str, kind: str, used: int, limit: int, label: str = "") -> Usage:
    """A row as the service writes it (recorded, 2025-11)."""
    return quota.parse(
        {
            "unit": "Count",
            "currentValue": used,
            "limit": limit,
            "name": {"value": name, "localizedValue": label or name},
            "type": f"Microsoft.MachineLearningServices/{kind}",
        }
    )


TOTALS = (
    row(
        "TotalDedicatedCores", "totalDedicatedCores/usages", 20, 100, "Total Cluster Dedicated Regional vCPUs"
    ),
    row("TotalLowPriorityCores", "totalLowPriorityCores/usages", 0, 300, "Total Cluster Low Priority vCPUs"),
)


def need(cores: int, tier: quota.Tier = "dedicated", family: str = A100, counted: bool = False) -> Need:
    return Need(purpose="training", size="any", family=family, cores=cores, tier=tier, counted=counted)


@pytest.mark.parametrize(
    ("wanted", "used", "limit", "verdict"),
    [
        (need(24), 0, 24, Verdict.FITS),
        (need(24), 0, 0, Verdict.TOO_SMALL),
        (need(48), 0, 24, Verdict.TOO_SMALL),
        (need(24), 24, 24, Verdict.BUSY),
        (need(24, counted=True), 24, 24, Verdict.FITS),  # by the very cluster
    ],
)
def test_a_need_is_compared_with_what_its_family_has(
    wanted: Need, used: int, limit: int, verdict: Verdict
) -> None:
    label = "Standard NCADSA100v4 Family Cluster Dedicated vCPUs"
    family, total = quota.rooms([wanted], [row(A100.upper(), FAMILY, used, limit, label), *TOTALS])
    assert family.verdict is verdict
    assert (family.label, family.left) == (label, limit - used)
    assert (total.label, total.verdict) == ("Total Cluster Dedicated Regional vCPUs", Verdict.FITS)


def test_the_regional_total_binds_as_well() -> None:
    rows = [row(A100, FAMILY, 0, 400), *TOTALS]
    assert [room.verdict for room in quota.rooms([need(96)], rows)] == [Verdict.FITS, Verdict.BUSY]
    assert [room.verdict for room in quota.rooms([need(192)], rows)] == [Verdict.FITS, Verdict.TOO_SMALL]


def test_low_priority_nodes_have_rows_of_their_own_that_only_the_total_limits() -> None:
    rows = [row(A100, FAMILY, 0, 0), row(A100, LOW, 24, -1), *TOTALS]
    family, total = quota.rooms([need(96, "low_priority")], rows)
    assert (family.verdict, family.left) == (Verdict.FITS, None)
    assert (total.label, total.limit) == ("Total Cluster Low Priority vCPUs", 300)


def test_families_are_the_same_whatever_their_capitals_and_spaces() -> None:
    rows = [row("Standard NDASv4_A100 Family", FAMILY, 0, 96)]
    (room,) = quota.rooms([need(96, family="standardNDASv4_A100Family")], rows)
    assert room.verdict is Verdict.FITS


def test_a_family_without_a_row_is_not_guessed_at() -> None:
    (family,) = quota.rooms([need(40, family="StandardNCadsH100v5Family")], [])
    assert (family.verdict, family.left) == (Verdict.UNKNOWN, None)
    assert str(family) == (
        "training on any needs 40 cores of StandardNCadsH100v5Family (dedicated): no such quota is listed"
    )


@pytest.mark.parametrize(
    ("name", "instances", "deployments", "cores"),
    [
        ("Standard_DS3_v2", 1, 1, 8),
        ("Standard_DS3_v2", 10, 1, 48),
        ("Standard_NC4as_T4_v3", 1, 2, 16),
        ("Standard_NC24ads_A100_v4", 1, 1, 24),
        ("Standard_NC40ads_H100_v5", 2, 1, 80),
    ],
)
def test_serving_reserves_a_fifth_more_but_not_of_scarce_sizes(
    name: str, instances: int, deployments: int, cores: int
) -> None:
    size = sizes.shipped()[name.casefold()]
    assert quota.serving(size, instances, deployments).cores == cores


@pytest.fixture
def limit(server: LocalServer) -> Iterator[Any]:
    """Sets a limit until the test ends."""
    changed: dict[str, int] = {}
    store = Store(server.state / "workspace.sqlite")

    def put(family: str, cores: int) -> None:
        changed[family] = next(r.limit for r in limits.usages(store) if r.name == family)
        limits.set_limit(store, family, cores)

    yield put
    for family, cores in changed.items():
        limits.set_limit(store, family, cores)
    store.close()


@pytest.fixture
def base() -> BaseModelVersion:
    return ANY_MODEL


@pytest.fixture
def name(session: Session) -> Iterator[str]:
    wanted = f"quota-{uuid4().hex[:8]}"
    yield wanted
    if compute.find(session, wanted) is not None:
        compute.remove(session, wanted, None)


def test_training_without_quota_is_refused_before_a_cluster_is_made(
    session: Session, limit: Any, base: BaseModelVersion, lease: Lease, name: str
) -> None:
    limit(A100, 0)
    with pytest.raises(Failure) as refused:
        find_compute.fn(session, Compute(name=name, size="Standard_NC24ads_A100_v4"), base, lease)
    assert refused.value.cause is Cause.QUOTA
    assert refused.value.what == (
        "The quota is too small: training on Standard_NC24ads_A100_v4 needs 24 cores of "
        "Standard NCADSA100v4 Family Cluster Dedicated vCPUs: 0 of 0 are in use."
    )
    assert compute.find(session, name) is None


def test_so_it_is_on_a_cluster_that_exists(
    session: Session, limit: Any, base: BaseModelVersion, lease: Lease, name: str
) -> None:
    wanted = Compute(name=name, size="Standard_NC24ads_A100_v4", nodes=2, max_nodes=2)
    find_compute.fn(session, wanted, base, lease)
    limit(A100, 48)  # just what the cluster itself has
    find_compute.fn(session, wanted, base, lease)
    limit(A100, 24)
    with pytest.raises(Failure, match="^The quota is too small: training .* needs 48 cores"):
        find_compute.fn(session, wanted, base, lease)


def test_serving_without_quota_is_refused_before_anything_is_trained(
    session: Session, limit: Any, base: BaseModelVersion
) -> None:
    deploy = Deploy(instance_type="Standard_NC4as_T4_v3")
    limit(T4, 8)
    assert check_deployment.fn(session, deploy, base).name == "Standard_NC4as_T4_v3"
    twice = deploy.model_copy(update={"compare_with_base": True})
    with pytest.raises(Failure, match="^The quota is too small: serving .* needs 16 cores"):
        check_deployment.fn(session, twice, base)


def test_what_others_use_is_warned_of(
    session: Session,
    limit: Any,
    base: BaseModelVersion,
    name: str,
    caplog: pytest.LogCaptureFixture,
    lease: Lease,
) -> None:
    find_compute.fn(session, Compute(name=name, size="Standard_NC4as_T4_v3"), base, lease)
    store_used = next(u.used for u in quota.usages(session) if u.name == T4 and u.used)
    limit(T4, store_used + 4)
    caplog.set_level(logging.WARNING, "finetune")
    check_deployment.fn(session, Deploy(instance_type="Standard_NC4as_T4_v3"), base)
    assert "serving on Standard_NC4as_T4_v3 needs 8 cores of Standard NCASv3_T4 Family" in caplog.text


def test_quota_that_may_not_be_read_is_a_warning(
    session: Session, server: LocalServer, base: BaseModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    sizes.find(session, "Standard_DS3_v2")
    server.admin("permissions", {"roles": []})
    try:
        assert quota.check(session, need(10**6)) == ()
    finally:
        server.admin("permissions", {"roles": access.OWNER})
    assert (
        "Quota is not checked before the run: The signed-in identity may not perform "
        "Microsoft.MachineLearningServices/locations/usages/read"
    ) in caplog.text


def test_azures_own_words_for_a_family_without_quota_are_known(ml_client: Any, limit: Any, name: str) -> None:
    limit(A100, 0)
    wanted = AmlCompute(name=name, size="Standard_NC24ads_A100_v4", min_instances=0, max_instances=1)
    with pytest.raises(HttpResponseError) as refused:
        ml_client.compute.begin_create_or_update(wanted).result()
    assert refused.value.error.code == "ClusterMinNodesExceedCoreQuota"
    assert (
        "The specified subscription has a Standard NCADSA100v4 family vCPU quota of 0 and cannot accomodate "
        "for at least 1 requested managed compute nodes which maps to 24 vCPUs."
    ) in refused.value.error.message
    assert explain(refused.value).cause is Cause.QUOTA


def test_a_low_priority_cluster_is_made_whatever_the_quota(
    ml_client: Any, session: Session, limit: Any, name: str
) -> None:
    limit(A100, 0)
    limit("TotalLowPriorityCores", 0)
    wanted = AmlCompute(name=name, size="Standard_NC24ads_A100_v4", tier="low_priority", max_instances=1)
    assert ml_client.compute.begin_create_or_update(wanted).result().provisioning_state == "Succeeded"


def test_a_job_that_is_queued_for_long_is_reported_with_what_its_cluster_says(
    session: Session, ml_client: Any, let_fail: LetFail, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    ml_client.compute.begin_create_or_update(
        AmlCompute(name=name, size="Standard_DS3_v2", max_instances=3)
    ).wait()
    let_fail({"kind": "no-capacity", "path": f"/computes/{name}", "seconds": None})
    environment = "azureml://registries/azureml/environments/any/versions/1"
    job = ml_client.jobs.create_or_update(command(command="true", environment=environment, compute=name))
    watch = QueueWatch(session, job.name, name)
    try:
        until(lambda: "AllocationFailed" in _described(session, name))
        watch.look(599)
        assert "queued" not in caplog.text
        watch.look(11 * 60)
        watch.look(12 * 60)
    finally:
        ml_client.jobs.begin_cancel(job.name)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "finetune"]
    assert said.startswith(
        f"The job {job.name} has been queued for 11 minutes: the cluster {name} has 0 of at most 3 nodes, "
        "and is resizing; AllocationFailed: Allocation failed. "
    )
    until(lambda: ml_client.jobs.get(job.name).status == "Canceled")
    assert "AllocationFailed" not in _described(session, name)


def _described(session: Session, name: str) -> str:
    from tasks.job import queue

    return queue.describe(session, name)
