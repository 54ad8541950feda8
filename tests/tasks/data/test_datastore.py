"""Data in a workspace: its datastores and data assets by every form of their addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.entities import Data as Asset

from tasks.azure import clients
from tasks.azure.failure import Cause
from tasks.data import datastore
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tests.conftest import LocalServer
from tests.support.failures import fails
from tests.tasks.data.layouts import LAYOUTS, SHAPES, TEST, TRAIN, chats, is_same, read

EXPECTED = chats(TRAIN) + chats(TEST, "test")
ROWS = [SHAPES["messages"](chat) for chat in EXPECTED]
NAME = "chats-to-read"


@pytest.fixture(scope="module")
def session(server: LocalServer) -> Any:
    names = {"subscription_id": "s", "resource_group": "g", "workspace": "w"}
    return clients.Session(**names, location="", tracking_uri="", resource_manager=server.url)


@pytest.fixture
def asset(ml_client: Any, tmp_path: Path) -> Any:
    """A folder of the workspace's own datastore, registered as a data asset."""
    (tmp_path / "in").mkdir()
    LAYOUTS["jsonl"](tmp_path / "in", ROWS[:TRAIN], ROWS[TRAIN:])
    clients.forget()
    return ml_client.data.create_or_update(Asset(name=NAME, path=tmp_path / "in", type="uri_folder"))


@pytest.mark.slow
def test_a_datastore_and_an_asset_are_read(asset: Any, tmp_path: Path) -> None:
    below = asset.path.partition("/datastores/")[2]
    workspace = asset.path.partition("/datastores/")[0]
    for address in (
        asset.path,
        f"azureml://datastores/{below.rstrip('/')}/*.jsonl",
        f"{workspace}/data/{NAME}/versions/{asset.version}",
        f"azureml:{NAME}@latest",
    ):
        assert is_same(read(address, tmp_path / "out"), EXPECTED), address  # type: ignore[arg-type]


def test_one_file_is_a_source(asset: Any, tmp_path: Path) -> None:
    found = prepare(Data(dataset=f"{asset.path.rstrip('/')}/train.jsonl", directory=tmp_path / "out"))
    assert sum(split.rows for split in found.splits) == TRAIN
    again = prepare(Data(dataset=f"{asset.path.rstrip('/')}/train.jsonl", directory=tmp_path / "out"))
    assert again.reused


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("azureml:nobodys-data:3", ("no data asset nobodys-data in version 3", "az ml data list")),
        ("azureml://datastores/nobodys/paths/x", ("no datastore nobodys", "az ml datastore list")),
        ("azureml://datastores/workspaceblobstore/paths/nobodys/", ("no such file or folder",)),
    ],
)
def test_what_is_not_there_is_named(
    address: str, said: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    clients.forget()
    with fails(Cause.NOT_FOUND, *said):
        prepare(Data(dataset=address, directory=tmp_path))


def test_what_is_no_address_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with fails(Cause.CONFIGURATION, "azureml://datastores/NAME/paths/PATH"):
        prepare(Data(dataset="azureml://elsewhere/x", directory=tmp_path))


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("azureml://datastores/d/paths/a/b", "datastores/d/paths/a/b"),
        ("azureml:n:7", "data/n/versions/7"),
        ("azureml:n@latest", "data/n/versions/@latest"),
        ("azureml:n", "data/n/versions/@latest"),
        ("azureml://data/n/versions/7", "data/n/versions/7"),
    ],
)
def test_an_address_without_a_workspace_means_the_runs(given: str, full: str, session: Any) -> None:
    found = datastore.addressed(Data(dataset=given), session)
    assert found.dataset == f"azureml://subscriptions/s/resourcegroups/g/workspaces/w/{full}"
    assert datastore.addressed(found, session.model_copy(update={"workspace": "other"})) == found
