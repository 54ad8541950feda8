"""Parquet over HTTP: what is asked of the server, and what happens when it misbehaves."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.azure.failure import Cause
from tests.support.failures import fails
from tests.support.range_server import serving
from tests.tasks.data.conftest import Preparing
from tests.tasks.data.conversations import SHARE, read_lines, rows, write_parquet


def test_only_the_needed_row_groups_and_columns_are_read(folder: Path, prepared: Preparing) -> None:
    with serving(folder) as server:
        found = prepared(f"{server.url}/*.parquet", **SHARE)
    files = sorted(folder.glob("*.parquet"))
    # 15 of 60 rows are two groups of the first file of three; 10 of 20 are the first of two.
    needed = sum(
        pq.read_metadata(file).row_group(group).column(column).total_compressed_size
        for file, groups in ((files[1], (0, 1)), (files[0], (0,)))
        for group in groups
        for column in range(pq.read_metadata(file).num_columns)
        if pq.read_metadata(file).schema.column(column).path.split(".")[0] != "noise"
    )
    footers = sum(min(file.stat().st_size, 64 * 1024) for file in files)
    assert server.bytes <= needed + footers
    assert found.bytes_read == server.bytes
    assert [one["prompt_id"] for one in read_lines(found.train.path)] == [f"train_sft-{n}" for n in range(15)]
    assert read_lines(found.test.path) == rows(10, "test_sft")


def test_remote_and_local_give_the_same_bytes(folder: Path, prepared: Preparing, tmp_path: Path) -> None:
    with serving(folder) as server:
        remote = prepared(f"{server.url}/*.parquet", **SHARE)
    local = prepared(folder, **SHARE)
    assert remote.sha256 == local.sha256


def test_a_connection_that_breaks_off_is_taken_up_again(folder: Path, prepared: Preparing) -> None:
    with serving(folder) as server:
        server.break_off = 3
        found = prepared(f"{server.url}/*.parquet")
    assert read_lines(found.train.path) == rows(60)


def test_a_connection_that_never_holds_ends_in_one_line(
    folder: Path, prepared: Preparing, output: Path
) -> None:
    with serving(folder) as server:
        server.break_off = 10_000
        with fails(Cause.UNREACHABLE, server.url, "5 times") as failure:
            prepared(f"{server.url}/*.parquet")
    assert failure.value.retryable
    assert not list(output.glob("**/*.jsonl"))


def test_without_ranges_the_file_is_streamed(folder: Path, prepared: Preparing) -> None:
    with serving(folder, ranges=False) as server:
        server.break_off = 1
        found = prepared(f"{server.url}/*.parquet", **SHARE)
    assert [one["prompt_id"] for one in read_lines(found.train.path)] == [f"train_sft-{n}" for n in range(15)]


def test_a_file_that_is_one_row_group_is_decoded_in_pieces(
    tmp_path: Path, prepared: Preparing, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.data import parquet

    monkeypatch.setattr(parquet, "_SPAN", 1)
    monkeypatch.setattr(parquet, "_BATCH", 7)
    whole = write_parquet(tmp_path, group=1000, shards=1)
    found = prepared(whole, rows="seeded", train={"name": "train_sft", "take": "20"})
    taken = [int(one["prompt_id"].split("-")[1]) for one in read_lines(found.train.path)]
    assert len(taken) == 20
    assert taken == sorted(set(taken)) != list(range(20))
