"""Datastores of every type as stores of files, in whatever account, with every kind of credentials."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import entities, load_job
from azure.ai.ml._artifacts._artifact_utilities import download_artifact
from azure.ai.ml._utils import _asset_utils
from azure.core.exceptions import HttpResponseError
from azure.storage.filedatalake import DataLakeServiceClient

from tests.support.waiting import until

SECRET = "s3cret-of-an-account"
ID = "00000000-0000-0000-0000-0000000000aa"
GUESSED = "sv=2023-11-03&sp=racwl&sig=Z3Vlc3NlZA%3D%3D"  # as a portal makes it, of an account elsewhere
PRINCIPAL = {
    "tenant_id": ID,
    "client_id": ID,
    "authority_url": "https://login.example",
    "resource_url": "https://r",
}
CREDENTIALS = {
    "none": None,
    "key": entities.AccountKeyConfiguration(account_key=SECRET),
    "sas": entities.SasTokenConfiguration(sas_token=f"?{GUESSED}"),
    "principal": entities.ServicePrincipalConfiguration(client_secret=SECRET, **PRINCIPAL),
    "certificate": entities.CertificateConfiguration(certificate=SECRET, thumbprint="t", **PRINCIPAL),
}
PLACES: dict[str, tuple[Any, str]] = {
    "blob": (entities.AzureBlobDatastore, "container_name"),
    "file": (entities.AzureFileDatastore, "file_share_name"),
    "gen2": (entities.AzureDataLakeGen2Datastore, "filesystem"),
}


@pytest.fixture
def name(ml_client: Any) -> Iterator[str]:
    """A name of no other datastore, nor of its place; it is deleted afterwards."""
    name = f"d{uuid4().hex[:10]}"
    yield name
    ml_client.datastores.delete(name)


def store(name: str, kind: str, credentials: str = "none") -> Any:
    """A datastore of a place of its own in an account of somebody's."""
    make, place = PLACES[kind]
    given = {"account_name": f"of{name}", place: "files", "credentials": CREDENTIALS[credentials]}
    return make(name=name, description="d", tags={"a": "b"}, **given)


@pytest.mark.parametrize(
    ("kind", "credentials"), [("blob", "key"), ("file", "sas"), *(("gen2", each) for each in CREDENTIALS)]
)
def test_it_comes_back_as_it_was_made_and_its_secret_to_who_asks(
    ml_client: Any, name: str, kind: str, credentials: str
) -> None:
    given = store(name, kind, credentials)
    made = ml_client.datastores.create_or_update(given)
    (listed,) = [each for each in ml_client.datastores.list() if each.name == name]
    for found in (made, listed, ml_client.datastores.get(name)):
        assert (found.account_name, getattr(found, PLACES[kind][1])) == (given.account_name, "files")
        assert (found.description, found.tags, found.type) == ("d", {"a": "b"}, given.type)
        assert SECRET not in str(found)
        assert type(found.credentials) is type(given.credentials)
        if credentials in ("principal", "certificate"):
            assert (found.credentials.client_id, found.credentials.authority_url) == (
                ID,
                "https://login.example",
            )
    opened = ml_client.datastores.get(name, include_secrets=True).credentials
    if credentials == "key":  # a signature that expires, in the place of the key
        assert "sig=" in opened.sas_token
    else:
        assert opened == given.credentials


@pytest.mark.parametrize(("kind", "credentials"), [("gen2", "none"), ("gen2", "sas"), ("blob", "key")])
def test_what_the_sdk_sends_there_it_gets_back(
    ml_client: Any,
    name: str,
    tmp_path: Path,
    kind: str,
    credentials: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Its threads share one client of a file, so that in Gen2 a file may get another one's content.
    monkeypatch.setattr(_asset_utils, "ThreadPoolExecutor", lambda max_workers: ThreadPoolExecutor(1))
    ml_client.datastores.create_or_update(store(name, kind, credentials))
    folder = tmp_path / "in"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "a.txt").write_text("a")
    (folder / "b.bin").write_bytes(bytes(range(256)) * 40)
    data = entities.Data(name=name, version="1", path=str(folder), type="uri_folder", datastore=name)
    made = ml_client.data.create_or_update(data)
    assert f"/datastores/{name}/paths/LocalUpload/" in made.path
    again = entities.Data(name=name, version="2", path=str(folder), type="uri_folder", datastore=name)
    assert ml_client.data.create_or_update(again).path == made.path  # known by what it is
    out = tmp_path / "out"
    prefix = made.path.partition("/paths/")[2]
    download_artifact(prefix, str(out), ml_client.datastores, name)
    below = next(each.parent for each in out.rglob("b.bin"))
    assert (below / "b.bin").read_bytes() == (folder / "b.bin").read_bytes()
    assert (below / "deep" / "er" / "a.txt").read_text() == "a"


def test_only_what_opens_the_place_opens_it(ml_client: Any, name: str) -> None:
    ml_client.datastores.create_or_update(store(name, "gen2", "sas"))
    address = f"https://of{name}.dfs.core.windows.net"
    for wrong in (GUESSED.replace("Z3", "Z4"), None):
        system = DataLakeServiceClient(address, credential=wrong).get_file_system_client("files")
        with pytest.raises(HttpResponseError):
            list(system.get_paths())
    theirs = DataLakeServiceClient(address, credential=GUESSED)
    assert list(theirs.get_file_system_client("files").get_paths()) == []
    with pytest.raises(HttpResponseError):
        list(theirs.get_file_system_client("others").get_paths())


@pytest.mark.slow
def test_a_job_reads_from_it_and_writes_to_it(ml_client: Any, name: str) -> None:
    ml_client.datastores.create_or_update(store(name, "file"))
    first = submitted(ml_client, name, "echo hello > ${{outputs.made}}/said.txt", "")
    assert first.status == "Completed"
    inputs = f"""
inputs:
  read: {{type: uri_file, path: "azureml://datastores/{name}/paths/made/said.txt"}}"""
    second = submitted(ml_client, name, "grep hello ${{inputs.read}}", inputs)
    assert second.status == "Completed"
    asset = entities.Data(
        name=f"{name}-said", type="uri_file", path=f"azureml://datastores/{name}/paths/made/said.txt"
    )
    assert ml_client.data.create_or_update(asset).path.endswith(f"/datastores/{name}/paths/made/said.txt")


def submitted(client: Any, store: str, command: str, inputs: str) -> Any:
    """The job once it is over; it may write below made/ of the datastore."""
    text = f"""
type: command
command: {command}
environment: azureml://registries/azureml/environments/any/versions/1
compute: azureml:serverless{inputs}
outputs:
  made: {{type: uri_folder, path: "azureml://datastores/{store}/paths/made"}}
"""
    job = client.jobs.create_or_update(load_job(StringIO(text)))
    return until(
        lambda: found if (found := client.jobs.get(job.name)).status in ("Completed", "Failed") else None
    )


def test_folders_and_parts_are_as_data_lake_storage_has_them(ml_client: Any, name: str) -> None:
    ml_client.datastores.create_or_update(store(name, "gen2"))
    service = DataLakeServiceClient(
        f"https://of{name}.dfs.core.windows.net", credential=ml_client._credential
    )
    system = service.get_file_system_client("files")
    folder = system.create_directory("a/b")
    file = folder.create_file("c")
    file.append_data(b"lo", offset=3)
    file.append_data(b"hel", offset=0)
    with pytest.raises(HttpResponseError, match="5 bytes"):
        file.flush_data(7)
    file.flush_data(5)
    file.append_data(b"!", offset=5)
    file.flush_data(6)
    assert file.download_file().readall() == b"hello!"
    file.append_data(b"?", offset=9)
    with pytest.raises(HttpResponseError, match="position 6"):
        file.flush_data(10)
    folder.set_metadata({"k": "v"})
    assert folder.get_directory_properties().metadata == {"k": "v", "hdi_isfolder": "true"}
    system.create_directory("a/d")
    pages = system.get_paths("a", max_results=2).by_page()
    found = [[(each.name, each.is_directory) for each in page] for page in pages]
    assert found == [[("a/b", True), ("a/b/c", False)], [("a/d", True)]]
    assert [each.name for each in system.get_paths("a", recursive=False)] == ["a/b", "a/d"]
    with pytest.raises(HttpResponseError, match="PathNotFound"):
        list(system.get_paths("none"))
    with pytest.raises(HttpResponseError, match="PathAlreadyExists"):
        system.create_directory("a/b/c")
    with pytest.raises(HttpResponseError, match="not done in file systems here"):
        file.rename_file("files/z")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"datastoreType": "AzureDataLakeGen1"}, "AzureBlob, AzureFile, AzureDataLakeGen2 are kept"),
        ({"datastoreType": "AzureFile", "accountName": "a"}, "fileShareName"),
        ({"datastoreType": "AzureFile", "fileShareName": "s"}, "accountName"),
        ({"datastoreType": "AzureFile", "fileShareName": "s", "accountName": "a.b"}, "letters and digits"),
        (
            {
                "datastoreType": "AzureFile",
                "fileShareName": "s",
                "accountName": "a",
                "credentials": {"credentialsType": "Password", "secrets": {"password": SECRET}},
            },
            "one of None, AccountKey",
        ),
    ],
)
def test_a_refusal_names_the_property_and_no_secret(
    ml_client: Any, given: dict[str, Any], words: str
) -> None:
    body: Any = {"properties": {"credentials": {"credentialsType": "None"}, **given}}
    with pytest.raises(HttpResponseError, match=words) as refusal:
        ml_client.datastores._operation.create_or_update("local", "local", "refused", body)
    assert SECRET not in str(refusal.value)
