"""The files of registry models: signatures that open them, and what they do not open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml._utils._registry_utils import get_storage_details_for_registry_assets
from azure.ai.ml.entities import Model
from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.storage.blob import ContainerClient

from azureml_local import switch

OWN = "Phi-4"


def opened(client: Any, name: str, version: str, kind: str = "models") -> ContainerClient:
    """The storage as the signature for an asset opens it."""
    models = client.models
    address, _ = get_storage_details_for_registry_assets(
        service_client=models._registry_service_client,
        asset_type=kind,
        asset_name=name,
        asset_version=version,
        rg_name=models._resource_group_name,
        reg_name=models._registry_name,
        uri="https://localhost/any",
    )
    return ContainerClient.from_container_url(address)


@pytest.fixture
def own(registry_client: Any, tmp_path: Path) -> str:
    """The container of a model that a client has put into the registry."""
    (tmp_path / "config.json").write_text("{}")
    model = Model(name="opened-model", version="1", path=str(tmp_path / "config.json"), type="custom_model")
    return str(registry_client.models.create_or_update(model).path).split("/")[4]


def test_the_signature_opens_the_asset_alone_and_for_reading(registry_client: Any, own: str) -> None:
    with opened(registry_client, "opened-model", "1") as storage:
        assert [blob.name for blob in storage.list_blobs(name_starts_with=own)] == [f"{own}/config.json"]
        assert storage.download_blob(f"{own}/config.json").readall() == b"{}"
        with pytest.raises(HttpResponseError) as refused:
            storage.upload_blob(f"{own}/config.json", b"other", overwrite=True)
        assert refused.value.status_code == 403
        with pytest.raises(HttpResponseError) as refused:
            list(storage.list_blobs(name_starts_with="azureml-blobstore/"))
        assert refused.value.status_code == 403


def test_names_are_listed_in_pages_and_by_folder(registry_client: Any, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a", "b", "inner/c", "inner/d", "z"):
        (tmp_path / name).write_text(name)
    made = registry_client.models.create_or_update(
        Model(name="paged-model", version="1", path=str(tmp_path), type="custom_model")
    )
    within = "/".join(made.path.split("/")[4:])
    with opened(registry_client, "paged-model", "1") as storage:
        pages = storage.list_blobs(name_starts_with=within, results_per_page=2).by_page()
        assert [[blob.name.removeprefix(f"{within}/") for blob in page] for page in pages] == [
            ["a", "b"],
            ["inner/c", "inner/d"],
            ["z"],
        ]
        folders = [item.name for item in storage.walk_blobs(name_starts_with=f"{within}/")]
        assert sorted(folders) == [f"{within}/{name}" for name in ("a", "b", "inner/", "z")]


@pytest.mark.parametrize(
    ("name", "kind", "status"),
    [("no-such-model", "models", 404), ("chat_completion_pipeline", "components", 400)],
)
def test_what_has_no_files_is_refused(registry_client: Any, name: str, kind: str, status: int) -> None:
    with pytest.raises(HttpResponseError) as refused:
        opened(registry_client, name, "1", kind)
    assert refused.value.status_code == status


@pytest.mark.slow
def test_the_users_own_weights_are_downloaded_and_never_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "weights" / OWN
    folder.mkdir(parents=True)
    for file in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / file).write_text(f"the user's {file}")
    monkeypatch.setenv("AZUREML_LOCAL_WEIGHTS", str(folder.parent))
    with switch.joined(tmp_path / "state") as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        client = MLClient(DefaultAzureCredential(), registry_name="azureml")
        version = client.models.get(OWN, label="latest").version
        client.models.download(OWN, version, str(tmp_path / "back"))
        (config,) = (tmp_path / "back").rglob("config.json")
        assert config.read_text() == "the user's config.json"
        with opened(client, OWN, version) as storage:
            model = next(blob.name for blob in storage.list_blobs(name_starts_with="registry-models/"))
        address = f"{environment['AZUREML_LOCAL_URL']}/local.blob.core.windows.net/registry-models"
        with ContainerClient.from_container_url(address, DefaultAzureCredential()) as storage:
            with pytest.raises(HttpResponseError) as refused:
                storage.upload_blob("new", b"x")
            assert refused.value.status_code == 403
            with pytest.raises(HttpResponseError) as refused:
                storage.delete_blob(model.removeprefix("registry-models/"))
            assert refused.value.status_code == 403
    assert (folder / "config.json").read_text() == "the user's config.json"
