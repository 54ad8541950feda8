"""Data at addresses: any file system of fsspec's, and files as servers hand them out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from tasks.azure.failure import Cause
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tests.support.failures import fails
from tests.support.range_server import serving
from tests.tasks.data.layouts import LAYOUTS, SHAPES, TEST, TRAIN, chats, is_same, read

ROWS = [SHAPES["messages"](chat) for chat in chats(TRAIN) + chats(TEST, "test")]
EXPECTED = chats(TRAIN) + chats(TEST, "test")
REMOTE = ["jsonl", "jsonl.gz", "jsonl.zst", "zip of one file", "parquet", "arrow stream", "save_to_disk"]


@pytest.fixture
def memory() -> Iterator[str]:
    """A file system that lies on no disk, as a storage account does not."""
    fs = fsspec.filesystem("memory")
    yield "memory://set"
    if fs.exists("/set"):
        fs.rm("/set", recursive=True)


@pytest.mark.parametrize("layout", [*REMOTE, "folder a split, hashes", "clone with a card's splits"])
def test_every_file_system_is_read(layout: str, tmp_path: Path, memory: str) -> None:
    (tmp_path / "in").mkdir()
    LAYOUTS[layout](tmp_path / "in", ROWS[:TRAIN], ROWS[TRAIN:])
    fsspec.filesystem("memory").put(f"{tmp_path}/in/", "/set", recursive=True)
    found = prepare(Data(dataset=memory, directory=tmp_path / "out"))
    assert [split.rows for split in found.splits] == [TRAIN, TEST]


@pytest.mark.parametrize("layout", REMOTE[:-1])
@pytest.mark.parametrize("ranges", [True, False])
def test_one_file_of_a_server_is_enough(layout: str, ranges: bool, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    LAYOUTS[layout](tmp_path / "in", ROWS[:TRAIN], ROWS[TRAIN:])
    file = next(path for path in (tmp_path / "in").iterdir() if path.name.startswith("train"))
    with serving(tmp_path / "in", ranges=ranges) as server:
        found = read(f"{server.url}/{file.name}", tmp_path / "out")  # type: ignore[arg-type]
    assert is_same(found, EXPECTED[:TRAIN])


@pytest.mark.parametrize("address", ["abfss://container@account.dfs.core.windows.net/x", "s3://bucket/x"])
def test_a_missing_package_is_named(address: str, tmp_path: Path) -> None:
    protocol = address.partition(":")[0]
    try:
        fsspec.get_filesystem_class(protocol)
    except (ImportError, ValueError):
        with fails(Cause.CONFIGURATION, address, "adlfs for abfss://", "s3fs for s3://"):
            prepare(Data(dataset=address, directory=tmp_path))
    else:
        pytest.skip(f"the package for {protocol} is installed")
