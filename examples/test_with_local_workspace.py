import os
from collections.abc import Iterator

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import AmlCompute
from azure.identity import DefaultAzureCredential

import azureml_local


@pytest.fixture(scope="session", autouse=True)
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with (
        azureml_local.joined(tmp_path_factory.mktemp("workspace")) as variables,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def client() -> MLClient:
    return MLClient(
        DefaultAzureCredential(),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


def test_a_cluster_is_there_once_it_was_created(client: MLClient) -> None:
    client.compute.begin_create_or_update(AmlCompute(name="mine", size="STANDARD_DS3_V2")).result()
    assert client.compute.get("mine").provisioning_state == "Succeeded"
