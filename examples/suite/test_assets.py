"""Data and models, as the project registers them."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import ResourceNotFoundError
from training import promote, share

from azureml_local import LocalWorkspace


def test_data_is_shared_once(azureml_client: MLClient, numbers: Path) -> None:
    assert share(azureml_client, numbers).version == share(azureml_client, numbers).version == "1"


def test_other_data_is_another_version(azureml_client: MLClient, numbers: Path) -> None:
    share(azureml_client, numbers)
    numbers.write_text("4\n5\n")
    assert share(azureml_client, numbers).version == "2"


def test_nothing_is_left_of_another_test(azureml_client: MLClient) -> None:
    assert list(azureml_client.data.list()) == []


def test_a_model_comes_back_as_it_went(azureml_client: MLClient, numbers: Path, tmp_path: Path) -> None:
    model = promote(azureml_client, "adder", str(numbers))
    azureml_client.models.download("adder", version=model.version, download_path=tmp_path / "got")
    assert (tmp_path / "got" / "adder" / "numbers.txt").read_text() == numbers.read_text()


def test_only_one_model_is_the_newest(azureml_client: MLClient, numbers: Path) -> None:
    promote(azureml_client, "adder", str(numbers))
    promote(azureml_client, "adder", str(numbers))
    stages = {model.version: model.tags["stage"] for model in azureml_client.models.list(name="adder")}
    assert stages == {"1": "old", "2": "newest"}


def test_the_registry_offers_models(azureml: LocalWorkspace) -> None:
    registry = azureml.registry()
    assert registry.models.get("SmolLM2-135M-Instruct", label="latest").version == "1"


def test_a_model_that_nobody_registered_is_not_found(azureml_client: MLClient) -> None:
    with pytest.raises(ResourceNotFoundError):
        azureml_client.models.get("adder", version="1")
