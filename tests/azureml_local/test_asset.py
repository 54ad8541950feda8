"""Data, models, code, environments and components of the workspace, through the SDK."""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import Input, MLClient, command
from azure.ai.ml.entities import Data, Environment, Model
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from tests.conftest import LocalServer


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "inner").mkdir(parents=True)
    (tmp_path / "data" / "a.txt").write_text("hello")
    (tmp_path / "data" / "empty.txt").touch()
    (tmp_path / "data" / "inner" / "b ä.txt").write_text("world")
    return tmp_path / "data"


def test_a_folder_becomes_a_data_asset_with_the_same_files(
    ml_client: Any, folder: Path, server: LocalServer
) -> None:
    made = ml_client.data.create_or_update(
        Data(path=str(folder), type="uri_folder", name="a-folder", description="words", tags={"k": "v"})
    )
    found = ml_client.data.get("a-folder", version=made.version)
    assert (found.type, found.description, found.tags) == ("uri_folder", "words", {"k": "v"})
    stored = server.state / "blobs" / "azureml-blobstore" / found.path.split("/paths/")[1]
    assert _contents(stored) == _contents(folder)


def test_versions_count_up_and_latest_is_the_last_made(ml_client: Any, folder: Path) -> None:
    versions = [
        ml_client.data.create_or_update(
            Data(path=str(folder / "a.txt"), type="uri_file", name="counted")
        ).version
        for _ in range(2)
    ]
    assert versions == ["1", "2"]
    assert ml_client.data.get("counted", label="latest").version == "2"
    assert [data.version for data in ml_client.data.list("counted")] == ["2", "1"]


def test_the_same_files_are_uploaded_once(ml_client: Any, folder: Path, server: LocalServer) -> None:
    first = ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="once"))
    stored = server.state / "blobs" / "azureml-blobstore" / first.path.split("/paths/")[1] / "a.txt"
    before = stored.stat()
    second = ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="once"))
    assert second.path == first.path
    assert stored.stat().st_mtime_ns == before.st_mtime_ns
    assert stored.stat().st_ino == before.st_ino


def test_an_archived_version_leaves_the_list_and_comes_back(ml_client: Any, folder: Path) -> None:
    for _ in range(2):
        ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="kept"))
    ml_client.data.archive("kept", version="1")
    assert [data.version for data in ml_client.data.list("kept")] == ["2"]
    ml_client.data.restore("kept", version="1")
    assert [data.version for data in ml_client.data.list("kept")] == ["2", "1"]
    ml_client.data.archive("kept")
    assert "kept" not in [data.name for data in ml_client.data.list()]
    ml_client.data.restore("kept")
    assert "kept" in [data.name for data in ml_client.data.list()]


def test_a_version_keeps_its_data_but_changes_its_tags(ml_client: Any, folder: Path) -> None:
    wanted = Data(path=str(folder), type="uri_folder", name="fixed", version="1")
    made = ml_client.data.create_or_update(wanted)
    made.tags = {"new": "tag"}
    assert ml_client.data.create_or_update(made).tags == {"new": "tag"}
    (folder / "a.txt").write_text("changed")
    with pytest.raises(Exception, match="already (linked|exists)|exists with another"):
        ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="fixed", version="1"))


def test_a_local_folder_becomes_a_model_and_is_downloaded_again(
    ml_client: Any, folder: Path, tmp_path: Path
) -> None:
    made = ml_client.models.create_or_update(
        Model(path=str(folder), type="custom_model", name="words", tags={"base": "none"})
    )
    ml_client.models.download("words", made.version, str(tmp_path / "down"))
    assert _contents(next((tmp_path / "down" / "words").iterdir())) == _contents(folder)
    assert ml_client.models.get("words", label="latest").tags == {"base": "none"}


def test_a_model_is_registered_from_a_datastore_path_with_its_flavors(
    ml_client: Any, folder: Path, server: LocalServer
) -> None:
    (folder / "MLmodel").write_text("flavors:\n  python_function:\n    loader_module: mlflow.pyfunc\n")
    data = ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="for-model"))
    made = ml_client.models.create_or_update(
        Model(path=data.path, type="mlflow_model", name="from-path", version="5")
    )
    assert made.flavors == {"python_function": {"loader_module": "mlflow.pyfunc"}}
    assert made.path == data.path.rstrip("/")


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("azureml://datastores/workspaceblobstore/paths/nothing/here", "custom_model", "NoMatchingArtifacts"),
        ("azureml://jobs/no-such-job/outputs/model", "custom_model", "JobNotFound"),
        ("azureml://datastores/nowhere/paths/x", "custom_model", "ResourceNotFound"),
    ],
)
def test_a_model_of_nothing_is_refused(ml_client: Any, path: str, kind: str, code: str) -> None:
    with pytest.raises(HttpResponseError, match=code):
        ml_client.models.create_or_update(Model(path=path, type=kind, name="of-nothing"))


def test_an_mlflow_model_needs_its_description(ml_client: Any, folder: Path) -> None:
    with pytest.raises(HttpResponseError, match="needs a file MLmodel"):
        ml_client.models.create_or_update(Model(path=str(folder), type="mlflow_model", name="bare"))


@pytest.mark.slow
def test_a_long_list_comes_in_pages(ml_client: Any) -> None:
    for number in range(105):
        ml_client.data.create_or_update(
            Data(path="https://example.org/data", type="uri_folder", name="paged", version=str(number))
        )
    listed = [data.version for data in ml_client.data.list("paged")]
    assert listed == [str(number) for number in reversed(range(105))]


def test_a_missing_asset_is_not_found(ml_client: Any) -> None:
    with pytest.raises(ResourceNotFoundError, match="has no model never:1"):
        ml_client.models.get("never", version="1")


def test_a_changed_environment_is_a_new_version(ml_client: Any) -> None:
    for image, wanted in (("first", "1"), ("first", "1"), ("second", "2")):
        made = ml_client.environments.create_or_update(Environment(name="counted", image=image))
        assert made.version == wanted


def test_unchanged_code_is_found_by_its_hash(ml_client: Any, tmp_path: Path) -> None:
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "step.py").write_text("print('step')")

    def component() -> Any:
        return command(
            name="a_step",
            command="python step.py ${{inputs.word}}",
            code=str(tmp_path / "step"),
            environment="plain@latest",
            inputs={"word": Input(type="string", default="x")},
        ).component

    ml_client.environments.create_or_update(Environment(name="plain", image="local"))
    first = ml_client.components.create_or_update(component())
    assert (first.name, first.version) == ("a_step", "1")
    again = ml_client.components.create_or_update(component())
    assert again.version != "1"
    assert again.code == first.code
    (tmp_path / "step" / "step.py").write_text("print('another step')")
    changed = ml_client.components.create_or_update(component())
    assert changed.version != again.version
    assert changed.code != first.code
    assert ml_client.components.get("a_step").version == changed.version


def test_code_is_downloaded_again(ml_client: Any, folder: Path, tmp_path: Path) -> None:
    from azure.ai.ml.entities._assets import Code

    codes = ml_client._code
    codes.create_or_update(Code(name="returns", version="1", path=str(folder)))
    codes.download("returns", "1", download_path=str(tmp_path / "out"))
    assert (tmp_path / "out" / "a.txt").read_text() == "hello"
    assert (tmp_path / "out" / "inner" / "b ä.txt").read_text() == "world"


def test_a_folders_path_ends_like_one(ml_client: Any, folder: Path) -> None:
    from azure.ai.ml.entities import Data

    made = ml_client.data.create_or_update(Data(path=str(folder), type="uri_folder", name="ends"))
    assert made.path.endswith("/data/")
    made = ml_client.data.create_or_update(Data(path=str(folder / "a.txt"), type="uri_file", name="ends-not"))
    assert made.path.endswith("/a.txt")
    (folder / "MLTable").write_text("paths:\n  - file: ./a.txt\n")
    table = Data(path=str(folder), type="mltable", name="ends-table", skip_validation=True)
    assert ml_client.data.create_or_update(table).path.endswith("/data/")


def test_curated_environments_are_there_as_in_every_workspace(ml_client: Any) -> None:
    name = "AzureML-acft-hf-nlp-gpu"
    assert ml_client.environments.get(name, label="latest").version == "1"
    assert ml_client.environments.get(name, version="112").image.endswith("/acft-hf-nlp-gpu:112")
    job = ml_client.jobs.create_or_update(command(command="true", environment=f"{name}@latest"))
    assert name in str(job.environment)
    with pytest.raises(ResourceNotFoundError):
        ml_client.environments.get("acft-hf-nlp-gpu", version="112")


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.slow
def test_a_file_of_over_300_mb_comes_through_whole(
    ml_client: Any, tmp_path: Path, server: LocalServer
) -> None:
    block = os.urandom(2**20)
    with (tmp_path / "large.bin").open("wb") as file:
        for number in range(310):
            file.write(number.to_bytes(4, "big") + block[4:])
    made = ml_client.data.create_or_update(
        Data(path=str(tmp_path / "large.bin"), type="uri_file", name="large")
    )
    stored = server.state / "blobs" / "azureml-blobstore" / made.path.split("/paths/")[1]
    assert filecmp.cmp(stored, tmp_path / "large.bin", shallow=False)


def test_from_config_finds_the_workspace(environment: dict[str, str], tmp_path: Path) -> None:
    config = subprocess.run(
        [sys.executable, "-m", "azureml_local", "config"], capture_output=True, text=True, check=True
    ).stdout
    (tmp_path / "config.json").write_text(config)
    client = MLClient.from_config(DefaultAzureCredential(), path=str(tmp_path))
    assert client.datastores.get_default().name == "workspaceblobstore"
