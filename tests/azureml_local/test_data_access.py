"""What azureml-fsspec and mltable ask: their packages need an fsspec of 2023, which nothing here can have.

Tried in an environment of their own (azureml-fsspec 1.4.0, mltable): listing, upload, download, reading, and
a table by its asset.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.settings import Settings
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE


@pytest.fixture
def get(server: LocalServer, environment: dict[str, str]) -> Any:
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    workspace = Settings(server.state, 0).workspace_arm_id

    def ask(service: str, path: str) -> requests.Response:
        url = f"{server.url}/{service}/v1.0{workspace}/{path}"
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)

    return ask


def test_a_datastore_comes_with_a_signature_that_opens_it(get: Any, server: LocalServer) -> None:
    found = get("datastore", "datastores/workspaceblobstore").json()["azureStorageSection"]
    url = f"https://{found['accountName']}.blob.{found['endpoint']}/{found['containerName']}"
    listed = requests.get(f"{url}?restype=container&comp=list&{found['credential']}", timeout=PATIENCE)
    assert (listed.status_code, "<EnumerationResults" in listed.text) == (200, True)
    assert get("datastore", "datastores/nobodys").status_code == 404
    share = get("datastore", "datastores/workspacefilestore").json()["azureStorageSection"]
    assert share["accountName"] == found["accountName"]


def test_a_data_version_says_where_its_data_lies(get: Any, ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data

    (tmp_path / "a.csv").write_text("a")
    made = ml_client.data.create_or_update(Data(name="read", path=str(tmp_path / "a.csv"), type="uri_file"))
    found = get("data", f"dataversion/read/versions/{made.version}").json()["dataVersion"]
    assert (found["dataUri"], found["dataType"], found["versionId"]) == (made.path, "UriFile", made.version)
    assert get("data", "dataversion/read/versions/none").status_code == 404
