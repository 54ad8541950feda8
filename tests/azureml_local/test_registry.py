"""The registry through the SDK: what it offers, by version and by label."""

from __future__ import annotations

from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential


def test_a_model_is_found_by_label_and_by_version(registry_client: Any) -> None:
    latest = registry_client.models.get("Phi-3-mini-4k-instruct", label="latest")
    assert latest.type == "mlflow_model"
    assert latest.id == f"azureml://registries/azureml/models/{latest.name}/versions/{latest.version}"
    same = registry_client.models.get("Phi-3-mini-4k-instruct", version=latest.version)
    assert same.tags == latest.tags
    assert latest.name in [model.name for model in registry_client.models.list()]


def test_the_pipeline_component_is_found_by_label_and_by_version(registry_client: Any) -> None:
    latest = registry_client.components.get("chat_completion_pipeline", label="latest")
    same = registry_client.components.get("chat_completion_pipeline", version=latest.version)
    assert latest.id == same.id
    assert latest.type == "pipeline"
    assert "mlflow_model_folder" in latest.outputs
    assert latest.inputs["num_train_epochs"].type == "integer"


def test_what_the_registry_lacks_is_not_found(registry_client: Any) -> None:
    with pytest.raises(ResourceNotFoundError):
        registry_client.models.get("no-such-model", version="1")
    with pytest.raises(ValidationException, match="does not exist"):
        registry_client.models.get("no-such-model", label="latest")
    with pytest.raises(ResourceNotFoundError):
        registry_client.components.get("chat_completion_pipeline", version="0.0.0")


def test_another_registry_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(HttpResponseError, match="not allowed to access the registry") as raised:
        MLClient(DefaultAzureCredential(), registry_name="contoso")
    assert raised.value.status_code == 403
