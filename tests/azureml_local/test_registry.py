"""The registry through the SDK: what it offers, by version and by label."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient, command
from azure.ai.ml.entities import Model
from azure.ai.ml.exceptions import ValidationException
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from azureml_local import catalogue


def test_a_model_is_found_by_label_and_by_version(registry_client: Any) -> None:
    latest = registry_client.models.get("Phi-4", label="latest")
    assert latest.type == "mlflow_model"
    assert latest.id == f"azureml://registries/azureml/models/{latest.name}/versions/{latest.version}"
    same = registry_client.models.get("Phi-4", version=latest.version)
    assert same.tags == latest.tags
    assert latest.name in [model.name for model in registry_client.models.list()]


def test_an_archived_model_is_found_by_version_alone(registry_client: Any) -> None:
    name = "Phi-3-mini-4k-instruct"  # archived in June 2026: azureml-assets #5103
    with pytest.raises(ValidationException, match="does not exist"):
        registry_client.models.get(name, label="latest")
    assert registry_client.models.get(name, version="15").version == "15"
    assert [model.version for model in registry_client.models.list(name=name)] == []


def test_the_registry_of_an_earlier_day_has_models_that_were_archived_since() -> None:
    def shown(day: date | None) -> dict[str, tuple[bool, bool]]:
        return {
            entry.name: (
                entry.properties["isArchived"],
                "finetune_compute_allow_list" in entry.properties["tags"],
            )
            for entry in catalogue.models(day)
        }

    name = "Phi-3.5-mini-instruct"
    assert shown(date(2026, 3, 31))[name] == (False, True)
    assert shown(date(2026, 6, 1))[name] == (False, False)
    assert shown(date(2026, 6, 2))[name] == (True, False)
    assert shown(None) == shown(date(2026, 11, 1))


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
    with pytest.raises(HttpResponseError, match="not allowed to access registry") as raised:
        MLClient(DefaultAzureCredential(), registry_name="contoso")
    assert raised.value.status_code == 403


def test_a_component_of_ones_own_is_put_into_the_registry(registry_client: Any, tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "step.py").write_text("print('step')")
    wanted = command(
        name="own_step",
        command="python step.py",
        code=str(tmp_path / "step"),
        environment="azureml://registries/azureml/environments/azureml-local-cpu/versions/1",
    ).component
    made = registry_client.components.create_or_update(wanted, version="1.2.3")
    assert made.id == "azureml://registries/azureml/components/own_step/versions/1.2.3"
    assert registry_client.components.get("own_step", label="latest").version == "1.2.3"


def test_a_model_of_ones_own_is_put_into_the_registry(registry_client: Any, tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"weights")
    registry_client.models.create_or_update(
        Model(name="own-model", version="1", path=str(tmp_path / "weights.bin"), type="custom_model")
    )
    found = registry_client.models.get("own-model", label="latest")
    assert found.id == "azureml://registries/azureml/models/own-model/versions/1"
    again = Model(name="own-model", version="1", path=str(tmp_path / "weights.bin"), type="custom_model")
    # azure-ai-ml takes the 409 for a reason to upload elsewhere, and stops: as users saw it on Azure
    # (azure-sdk-for-python #37464).
    with pytest.raises(ValueError, match="No value for given attribute"):
        registry_client.models.create_or_update(again)


def test_a_model_of_ones_own_comes_back_as_it_was(registry_client: Any, tmp_path: Path) -> None:
    (tmp_path / "model" / "inner").mkdir(parents=True)
    (tmp_path / "model" / "a b.txt").write_text("one")
    (tmp_path / "model" / "inner" / "two.txt").write_text("two")
    registry_client.models.create_or_update(
        Model(name="folder-model", version="1", path=str(tmp_path / "model"), type="custom_model")
    )
    registry_client.models.download("folder-model", "1", str(tmp_path / "back"))
    back = tmp_path / "back" / "folder-model" / "model"
    assert (back / "a b.txt").read_text() == "one"
    assert (back / "inner" / "two.txt").read_text() == "two"


@pytest.mark.slow
def test_a_shipped_model_is_made_and_downloaded(registry_client: Any, tmp_path: Path) -> None:
    registry_client.models.download("SmolLM2-135M-Instruct", "1", str(tmp_path))
    (described,) = tmp_path.rglob("MLmodel")
    weights = described.parent / "artifacts" / "model"
    assert json.loads((weights / "config.json").read_text())["max_position_embeddings"] == 8192
    assert (weights / "tokenizer.json").is_file()
    assert (weights / "model.safetensors").stat().st_size > 200e6
