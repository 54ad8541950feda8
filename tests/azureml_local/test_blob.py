"""Blob storage through the storage SDK: uploads of any size, ranges, metadata, lists, signatures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import psutil
import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobBlock, ContainerClient

from azureml_local.server import Address
from azureml_local.settings import Settings
from azureml_local.state.clock import Clock
from azureml_local.state.tokens import Secrets, Tokens
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE

CONTAINER = "azureml-blobstore"


@pytest.fixture
def tokens(server: LocalServer) -> Tokens:
    """What signs for the server, made of the same secrets."""
    port = int(server.url.rsplit(":", 1)[1])
    secrets = Secrets.of(server.state / "secrets.json")
    return Tokens(Settings(server.state, port), secrets, Clock())


@pytest.fixture
def container(environment: dict[str, str], server: LocalServer, tokens: Tokens) -> Iterator[ContainerClient]:
    url = f"{server.url}/local.blob.core.windows.net/{CONTAINER}?{tokens.sas(CONTAINER)}"
    with ContainerClient.from_container_url(
        url,
        max_single_put_size=2**20,
        max_block_size=2**20,
        max_single_get_size=2**20,
        max_chunk_get_size=2**20,
    ) as client:
        yield client


@pytest.fixture
def prefix() -> str:
    return f"test-{uuid4().hex}"


@pytest.mark.parametrize("size", [0, 1, 2**20, 5 * 2**20 + 3])
def test_what_is_uploaded_is_downloaded(container: ContainerClient, prefix: str, size: int) -> None:
    data = os.urandom(size)
    blob = container.upload_blob(
        f"{prefix}/blob", data, metadata={"upload_status": "completed"}, max_concurrency=4
    )
    assert blob.download_blob(max_concurrency=2).readall() == data
    properties = blob.get_blob_properties()
    assert (properties.size, properties.metadata) == (size, {"upload_status": "completed"})


def test_a_part_of_a_blob_can_be_read(container: ContainerClient, prefix: str) -> None:
    blob = container.upload_blob(f"{prefix}/blob", b"0123456789")
    assert blob.download_blob(offset=3, length=4).readall() == b"3456"
    assert blob.download_blob(offset=8, length=99).readall() == b"89"
    with pytest.raises(HttpResponseError) as raised:
        blob.download_blob(offset=10, length=1).readall()
    assert raised.value.status_code == 416


def test_an_upload_in_blocks_is_written_once(
    container: ContainerClient, server: LocalServer, prefix: str
) -> None:
    """By the bytes that the server's process has written, with blocks that arrive side by side."""
    address, data = Address.read(server.state), os.urandom(8 * 2**20)
    assert address is not None
    process = psutil.Process(address.pid)
    before = process.io_counters().write_chars
    blob = container.upload_blob(f"{prefix}/blob", data, max_concurrency=4)
    written = process.io_counters().write_chars - before
    assert len(data) <= written < 1.5 * len(data)
    assert blob.download_blob().readall() == data


def test_blocks_are_invisible_until_they_are_committed(container: ContainerClient, prefix: str) -> None:
    blob = container.get_blob_client(f"{prefix}/blob")
    blob.stage_block("a", b"first ")
    blob.stage_block("b", b"second")
    assert not blob.exists()
    assert list(container.list_blobs(prefix)) == []
    blob.commit_block_list([BlobBlock("a"), BlobBlock("b")])
    assert blob.download_blob().readall() == b"first second"
    with pytest.raises(HttpResponseError, match="InvalidBlockList"):
        container.get_blob_client(f"{prefix}/other").commit_block_list([BlobBlock("unknown")])


def test_metadata_is_set_apart_from_the_content(container: ContainerClient, prefix: str) -> None:
    blob = container.upload_blob(f"{prefix}/blob", b"x")
    before = blob.get_blob_properties().etag
    blob.set_blob_metadata({"upload_status": "completed", "name": "n"})
    after = blob.get_blob_properties()
    assert after.metadata == {"upload_status": "completed", "name": "n"}
    assert after.etag != before
    blob.upload_blob(b"y", overwrite=True)
    assert blob.get_blob_properties().metadata == {}


def test_a_blob_is_not_overwritten_unless_asked(container: ContainerClient, prefix: str) -> None:
    blob = container.upload_blob(f"{prefix}/blob", b"first")
    with pytest.raises(ResourceExistsError):
        container.upload_blob(f"{prefix}/blob", b"second")
    with pytest.raises(ResourceModifiedError):
        blob.upload_blob(
            b"third", overwrite=True, etag='"0x1"', match_condition=MatchConditions.IfNotModified
        )
    assert blob.download_blob().readall() == b"first"


def test_every_condition_of_a_write_holds_or_refuses_it(container: ContainerClient, prefix: str) -> None:
    blob = container.upload_blob(f"{prefix}/blob", b"first")
    found = blob.get_blob_properties()
    conditions: list[dict[str, Any]] = [
        {"etag": found.etag, "match_condition": MatchConditions.IfModified},
        {"etag": '"0x1"', "match_condition": MatchConditions.IfNotModified},
        {"if_modified_since": found.last_modified + timedelta(seconds=1)},
        {"if_unmodified_since": found.last_modified - timedelta(seconds=1)},
        {"lease": "11111111-2222-3333-4444-555555555555"},
    ]
    changes: list[Callable[..., Any]] = [
        partial(blob.upload_blob, b"second", overwrite=True),
        partial(blob.set_blob_metadata, {"a": "b"}),
        blob.delete_blob,
    ]
    for condition in conditions:
        for change in changes:
            with pytest.raises(HttpResponseError) as raised:
                change(**condition)
            assert raised.value.status_code == 412, condition
    assert blob.get_blob_properties().etag == found.etag
    blob.upload_blob(
        b"second", overwrite=True, etag=found.etag, match_condition=MatchConditions.IfNotModified
    )
    blob.delete_blob(if_unmodified_since=blob.get_blob_properties().last_modified)


@pytest.mark.slow
def test_no_change_that_was_acknowledged_is_lost(container: ContainerClient, prefix: str) -> None:
    """Writers that swap what they have read, and readers who must see one version, not parts of two."""
    blob = container.upload_blob(f"{prefix}/counter", b"0" * 1000)
    acknowledged: list[int] = []
    mixed: list[bytes] = []

    def count() -> None:
        done = 0
        while done < 8:
            read = blob.download_blob()
            content = read.readall()
            if len(set(content.split(b",")[-1])) > 1 or hashlib.md5(content).digest() != _md5(read):
                mixed.append(content)
            following = str(int(content.split(b",")[0]) + 1)
            try:
                blob.upload_blob(
                    f"{following},{'x' * 1000}".encode(),
                    overwrite=True,
                    etag=read.properties.etag,
                    match_condition=MatchConditions.IfNotModified,
                )
            except ResourceModifiedError:
                continue
            acknowledged.append(int(following))
            done += 1

    with ThreadPoolExecutor(4) as pool:
        for counting in [pool.submit(count) for _ in range(4)]:
            counting.result()
    assert sorted(acknowledged) == list(range(1, 33))
    assert mixed == []


def _md5(read: Any) -> bytes:
    return bytes(read.properties.content_settings.content_md5)


def test_lists_page_and_keep_their_order(container: ContainerClient, prefix: str) -> None:
    names = sorted(f"{prefix}/{name}" for name in ("a/b", "a/c/d", "a-", "a0", "z & <é>", "b"))
    for name in names:
        container.upload_blob(name, b"", metadata={"k": "v"})
    pages = list(container.list_blobs(prefix, include=["metadata"], results_per_page=2).by_page())
    listed = [[blob.name for blob in page] for page in pages]
    assert [name for page in listed for name in page] == names
    assert len(listed) == 3
    walked = [item.name for item in container.walk_blobs(f"{prefix}/", delimiter="/")]
    assert sorted(walked) == [f"{prefix}/{name}" for name in ("a-", "a/", "a0", "b", "z & <é>")]


def test_a_deleted_blob_is_gone(container: ContainerClient, prefix: str) -> None:
    blob = container.upload_blob(f"{prefix}/deep/blob", b"x")
    blob.delete_blob()
    assert not blob.exists()
    with pytest.raises(ResourceNotFoundError):
        blob.delete_blob()
    container.upload_blob(f"{prefix}/deep", b"now a blob")


def test_a_name_is_a_blob_or_a_folder_and_not_both(container: ContainerClient, prefix: str) -> None:
    container.upload_blob(f"{prefix}/name", b"x")
    with pytest.raises(ResourceExistsError):
        container.upload_blob(f"{prefix}/name/below", b"y")
    with pytest.raises(ResourceExistsError):
        container.upload_blob(prefix, b"z", overwrite=True)


def test_a_damaged_upload_is_refused(
    server: LocalServer, environment: dict[str, str], tokens: Tokens, prefix: str
) -> None:
    answer = requests.put(
        _url(server, f"{prefix}/blob", tokens.sas(CONTAINER)),
        b"content",
        headers={"x-ms-blob-type": "BlockBlob", "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="},
        timeout=PATIENCE,
    )
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "Md5Mismatch")


def test_an_upload_that_breaks_off_leaves_nothing(
    server: LocalServer, environment: dict[str, str], tokens: Tokens, container: ContainerClient, prefix: str
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionAbortedError

    with pytest.raises(requests.ConnectionError):
        requests.put(
            _url(server, f"{prefix}/blob", tokens.sas(CONTAINER)),
            data=broken(),
            headers={"x-ms-blob-type": "BlockBlob"},
            timeout=PATIENCE,
        )
    container.upload_blob(f"{prefix}/other", b"the server goes on")
    assert not container.get_blob_client(f"{prefix}/blob").exists()


def test_a_signature_ends(server: LocalServer, environment: dict[str, str], tokens: Tokens) -> None:
    expired = tokens.sas(CONTAINER, lifetime=timedelta(seconds=-1))
    answer = requests.get(_url(server, "x", expired), timeout=PATIENCE)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_a_signature_grants_what_it_says(
    server: LocalServer, environment: dict[str, str], tokens: Tokens, prefix: str
) -> None:
    reading = tokens.sas(CONTAINER, permissions="r")
    for method, query, code in (
        ("PUT", "", "AuthorizationPermissionMismatch"),
        ("DELETE", "", "AuthorizationPermissionMismatch"),
        ("GET", "", "BlobNotFound"),
    ):
        answer = requests.request(method, _url(server, f"{prefix}/x", reading) + query, timeout=PATIENCE)
        assert answer.headers["x-ms-error-code"] == code
    listing = requests.get(
        f"{server.url}/local.blob.core.windows.net/{CONTAINER}?restype=container&comp=list&{reading}",
        timeout=PATIENCE,
    )
    assert listing.status_code == 403


def test_a_signature_holds_for_its_container_and_its_blob(
    server: LocalServer, environment: dict[str, str], tokens: Tokens, container: ContainerClient, prefix: str
) -> None:
    for name in ("one", "two"):
        container.upload_blob(f"{prefix}/{name}", name)
    one = tokens.sas(CONTAINER, f"{prefix}/one", permissions="r")
    assert requests.get(_url(server, f"{prefix}/one", one), timeout=PATIENCE).text == "one"
    assert requests.get(_url(server, f"{prefix}/two", one), timeout=PATIENCE).status_code == 403
    everywhere = tokens.account_sas()
    assert requests.get(_url(server, f"{prefix}/one", everywhere), timeout=PATIENCE).status_code == 200
    forged = everywhere.replace("srt=sco", "srt=s")
    assert requests.get(_url(server, f"{prefix}/one", forged), timeout=PATIENCE).status_code == 403
    elsewhere = tokens.sas("azureml")
    assert requests.get(_url(server, f"{prefix}/one", elsewhere), timeout=PATIENCE).status_code == 403


@pytest.mark.parametrize("field", ["sig", "se", "sp", "sr", "sv"])
def test_a_changed_signature_is_refused(
    server: LocalServer, environment: dict[str, str], tokens: Tokens, field: str
) -> None:
    fields = {name: values[0] for name, values in parse_qs(tokens.sas(CONTAINER, permissions="r")).items()}
    fields[field] = {"se": "2999-01-01T00:00:00Z", "sp": "racwdl", "sr": "b"}.get(field, "x")
    assert requests.get(_url(server, "x", urlencode(fields)), timeout=PATIENCE).status_code == 403


def test_without_a_signature_nothing_is_answered(server: LocalServer, environment: dict[str, str]) -> None:
    answer = requests.get(_url(server, "x", ""), timeout=PATIENCE)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")


def test_the_sdk_reports_a_bad_signature_as_failed_authentication(
    server: LocalServer, environment: dict[str, str], tokens: Tokens
) -> None:
    url = f"{server.url}/local.blob.core.windows.net/{CONTAINER}?{tokens.sas(CONTAINER)}x"
    with ContainerClient.from_container_url(url) as client, pytest.raises(ClientAuthenticationError):
        client.upload_blob("x", b"")


def _url(server: LocalServer, name: str, sas: str) -> str:
    return f"{server.url}/local.blob.core.windows.net/{CONTAINER}/{name}?{sas}"
