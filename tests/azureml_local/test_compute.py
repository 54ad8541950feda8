"""Compute clusters through the SDK: life cycle, sizes, quota."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import AmlCompute, AmlComputeSshSettings
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

from tests.support.waiting import until


@pytest.fixture
def cluster(ml_client: Any) -> Iterator[Any]:
    wanted = AmlCompute(
        name="gpu-cluster",
        size="Standard_NC6s_v3",
        max_instances=2,
        idle_time_before_scale_down=180,
        tags={"finetune_compute_allow_list": "['Standard_NC6s_v3']"},
    )
    yield ml_client.compute.begin_create_or_update(wanted).result()
    ml_client.compute.begin_delete("gpu-cluster").wait()


def test_a_created_cluster_is_found_with_its_size_in_upper_case(ml_client: Any, cluster: Any) -> None:
    found = ml_client.compute.get("GPU-cluster")
    assert found.provisioning_state == "Succeeded"
    assert found.size == "STANDARD_NC6S_V3"
    assert (found.min_instances, found.max_instances) == (0, 2)
    assert found.idle_time_before_scale_down == 180
    assert found.tags == cluster.tags
    assert "gpu-cluster" in [compute.name for compute in ml_client.compute.list()]


def test_a_cluster_keeps_its_region_and_its_administrators_name(ml_client: Any) -> None:
    there = AmlCompute(name="elsewhere", size="Standard_DS3_v2", location="westus2")
    there.ssh_settings = AmlComputeSshSettings(admin_username="me", admin_password="not to be seen")
    assert ml_client.compute.begin_create_or_update(there).result().location == "westus2"
    found = ml_client.compute.get("elsewhere")
    assert found.location == "westus2"
    assert (found.ssh_settings.admin_username, found.ssh_settings.admin_password) == ("me", None)
    ml_client.compute.begin_delete("elsewhere").result()


def test_scale_settings_change_but_the_size_does_not(ml_client: Any, cluster: Any) -> None:
    cluster.max_instances = 3
    assert ml_client.compute.begin_update(cluster).result().max_instances == 3
    other = AmlCompute(name="gpu-cluster", size="Standard_NC12s_v3", max_instances=1)
    with pytest.raises(HttpResponseError, match="vmSize of an existing compute cannot be changed"):
        ml_client.compute.begin_create_or_update(other).result()


def test_a_missing_cluster_is_not_found(ml_client: Any) -> None:
    with pytest.raises(ResourceNotFoundError) as raised:
        ml_client.compute.get("nowhere")
    assert raised.value.response.body() == b""


def test_a_deleted_cluster_is_gone(ml_client: Any) -> None:
    wanted = AmlCompute(name="short-lived", size="Standard_DS3_v2", max_instances=1)
    ml_client.compute.begin_create_or_update(wanted).result()
    ml_client.compute.begin_delete("short-lived").wait()
    assert "short-lived" not in [compute.name for compute in ml_client.compute.list()]


def _has_failed(ml_client: Any, name: str) -> bool:
    return bool(ml_client.jobs.get(name).status == "Failed")


@pytest.mark.slow
def test_a_job_fails_when_the_cluster_under_it_is_deleted(ml_client: Any) -> None:
    wanted = AmlCompute(name="pulled-away", size="Standard_DS3_v2", max_instances=1)
    ml_client.compute.begin_create_or_update(wanted).result()
    job = command(
        command="sleep 600",
        environment="azureml://registries/azureml/environments/any/versions/1",
        compute="pulled-away",
    )
    running, queued = (ml_client.jobs.create_or_update(job).name for _ in range(2))
    until(lambda: ml_client.jobs.get(running).status == "Running")
    ml_client.compute.begin_delete("pulled-away").wait()
    for name in (running, queued):
        until(functools.partial(_has_failed, ml_client, name))
    details = ml_client.jobs._runs_operations.get_run_details(running)
    assert details.error.error.message == "AzureMLCompute cluster pulled-away does not exist"


def test_sizes_carry_the_number_of_gpus(ml_client: Any) -> None:
    gpus = {size.name: size.gpus for size in ml_client.compute.list_sizes()}
    assert gpus["Standard_NC24rs_v3"] == 4
    assert gpus["Standard_DS3_v2"] == 0


def test_a_cluster_beyond_the_quota_is_refused(ml_client: Any, cluster: Any) -> None:
    wanted = AmlCompute(name="too-big", size="Standard_NC6s_v3", max_instances=65)
    with pytest.raises(HttpResponseError, match="needs 390 cores.*current usage 12, limit 400") as raised:
        ml_client.compute.begin_create_or_update(wanted).result()
    assert raised.value.error.code == "ClusterCoreQuotaReached"


def test_usage_counts_a_cluster_at_its_maximum(ml_client: Any, cluster: Any) -> None:
    # azure-ai-ml 1.35 leaves current_value empty and keeps the number under its name on the wire.
    used = {(row.name["value"], row.type): row.currentValue for row in ml_client.compute.list_usage()}
    clusters = sum(each.type == "amlcompute" for each in ml_client.compute.list())
    assert used["TotalClusters", "Microsoft.MachineLearningServices/totalClusters/usages"] == clusters
    family = "standardNCSv3Family"
    assert used[family, "Microsoft.MachineLearningServices/vmFamily/dedicatedCores/usages"] == 12
    assert used[family, "Microsoft.MachineLearningServices/vmFamily/lowPriorityCores/usages"] == 0


@pytest.mark.parametrize(
    ("size", "instances", "message"),
    [
        ("Standard_Imaginary_v9", 1, "not offered"),
        ("Standard_NV6ads_A10_v5", 1, "cannot be used for a cluster"),
    ],
)
def test_a_wrong_size_is_refused(ml_client: Any, size: str, instances: int, message: str) -> None:
    with pytest.raises(HttpResponseError, match=message):
        ml_client.compute.begin_create_or_update(
            AmlCompute(name="wrong-size", size=size, max_instances=instances)
        ).result()
