import pytest
from azure.ai.ml import MLClient
from training import cluster  # the code under test

from azureml_local import LocalWorkspace


def test_a_cluster_is_made_once(azureml_client: MLClient) -> None:
    assert cluster(azureml_client).max_instances == cluster(azureml_client).max_instances == 2
    assert [found.name for found in azureml_client.compute.list()] == ["cpu"]


@pytest.mark.azureml_faults({"kind": "status", "method": "GET", "path": "computes/*", "status": 503})
def test_a_busy_server_is_asked_again(azureml: LocalWorkspace, azureml_client: MLClient) -> None:
    assert cluster(azureml_client).provisioning_state == "Succeeded"
    (rule,) = azureml.faults()
    assert rule["calls"] > 1
