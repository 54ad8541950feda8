"""The workspace, its datastores, and that every kind of asset counts, lists, labels and archives alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import AzureBlobDatastore, Data, Environment, Model
from azure.core.exceptions import ResourceNotFoundError

Make = Callable[[str, Path, int], Any]  # name, folder with a file, number -> an asset without a version
MOMENT = r"\d{4}(-\d\d){5}-\d{7}"


def _component(name: str, folder: Path, number: int) -> Any:
    environment = "azureml://registries/azureml/environments/any/versions/1"
    return command(name=name, command=f"echo {number}", environment=environment).component


@pytest.mark.parametrize(
    ("operations", "make", "following"),
    [
        ("data", lambda name, folder, number: Data(name=name, path=str(folder), type="uri_folder"), "2"),
        ("models", lambda name, folder, number: Model(name=name, path=str(folder)), "2"),
        ("environments", lambda name, folder, number: Environment(name=name, image=f"image:{number}"), "2"),
        ("components", _component, MOMENT),
    ],
)
def test_an_assets_versions_count_list_and_leave_the_list(
    ml_client: Any, tmp_path: Path, operations: str, make: Make, following: str
) -> None:
    (tmp_path / "file").write_text("content")
    assets, name = getattr(ml_client, operations), f"asset_{uuid4().hex[:8]}"

    def versions() -> list[str]:
        return [each.version for each in assets.list(name)]

    first, second = (assets.create_or_update(make(name, tmp_path, n)).version for n in (1, 2))
    assert first == "1"
    assert re.fullmatch(following, second)
    assert versions() == [second, "1"]
    assert assets.get(name, label="latest").version == second
    assets.archive(name, version=second)
    assert versions() == ["1"]
    assets.restore(name, version=second)
    assert versions() == [second, "1"]
    assets.archive(name)
    assert name not in [each.name for each in assets.list()]


def test_the_workspace_says_where_its_metrics_are(ml_client: Any) -> None:
    assert [each.name for each in ml_client.workspaces.list()] == ["local"]
    found = ml_client.workspaces.get("local")
    assert found.mlflow_tracking_uri.startswith("azureml://localhost:")
    assert ml_client.workspaces.get_keys("local") is not None


def test_datastores_come_with_the_workspace_and_of_ones_own(ml_client: Any) -> None:
    assert ml_client.datastores.get_default().name == "workspaceblobstore"
    mine = AzureBlobDatastore(name="mine", account_name="any", container_name="azureml-blobstore")
    assert ml_client.datastores.create_or_update(mine).container_name == "azureml-blobstore"
    names = {each.name for each in ml_client.datastores.list()}
    assert names >= {"workspaceblobstore", "workspaceartifactstore", "mine"}
    ml_client.datastores.delete("mine")
    with pytest.raises(ResourceNotFoundError):
        ml_client.datastores.get("mine")
