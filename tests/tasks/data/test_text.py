"""Text files: what forms there are, and that they are streamed wherever they lie."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tests.support.failures import fails
from tests.support.range_server import serving
from tests.tasks.data.conftest import Preparing
from tests.tasks.data.conversations import read_lines, rows, write_lines

TEN = {"train": {"name": "train_sft", "take": 10}, "test": {"name": "test_sft", "take": 10}}


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Both splits as JSON Lines of some megabytes."""
    folder = tmp_path / "lines"
    folder.mkdir()
    for split in ("train_sft", "test_sft"):
        made = [one | {"noise": "x" * 100_000} for one in rows(60, split)]
        write_lines(folder / f"{split}.jsonl", made)
    return folder


@pytest.mark.parametrize("ranges", [True, False])
def test_a_stream_that_breaks_off_goes_on_where_it_was(
    lines: Path, prepared: Preparing, ranges: bool
) -> None:
    with serving(lines, ranges=ranges) as server:
        server.break_off = 3
        found = prepared(f"{server.url}/*.jsonl")
        assert server.break_off < 0  # it did
    assert [one["prompt_id"] for one in read_lines(found.train.path)] == [f"train_sft-{n}" for n in range(60)]
    assert found.train.quarantined == 0


def test_a_number_of_rows_reads_no_more_than_their_block(lines: Path, prepared: Preparing) -> None:
    with serving(lines) as server:
        found = prepared(f"{server.url}/*.jsonl", **TEN)
        size = sum(path.stat().st_size for path in lines.iterdir())
        assert server.bytes < size
    assert found.train.rows == found.test.rows == 10


def test_a_share_of_a_remote_file_is_fetched_once(lines: Path, prepared: Preparing) -> None:
    half = {"train": {"name": "train_sft", "take": "50%"}, "test": {"name": "test_sft", "take": "50%"}}
    with serving(lines) as server:
        found = prepared(f"{server.url}/*.jsonl", rows="seeded", **half)
        assert server.bytes < 1.1 * sum(path.stat().st_size for path in lines.iterdir())
    assert found.train.rows == found.test.rows == 30


def _array(made: list[Any]) -> str:
    return json.dumps(made)


def _named(made: list[Any]) -> str:
    return json.dumps({"version": 1.5, "data": made}, indent=1)


def _in_lines(made: list[Any]) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in made)


def _marked(made: list[Any]) -> str:
    return f"\ufeff{_in_lines(made)}"


@pytest.mark.parametrize("form", [_array, _named, _in_lines, _marked])
def test_every_form_of_json_is_read(
    tmp_path: Path, prepared: Preparing, form: Callable[[list[Any]], str]
) -> None:
    for split in ("train_sft", "test_sft"):
        (tmp_path / f"{split}.json").write_text(form(rows(12, split)), encoding="utf-8")
    found = prepared(tmp_path)
    assert read_lines(found.train.path) == rows(12)
    assert read_lines(found.test.path) == rows(12, "test_sft")


def test_a_document_that_breaks_off_is_refused(tmp_path: Path, prepared: Preparing) -> None:
    for split in ("train_sft", "test_sft"):
        (tmp_path / f"{split}.json").write_text(_array(rows(12, split))[:-20], encoding="utf-8")
    with fails(Cause.DATA, "train_sft.json", "not valid JSON", "cut off"):
        prepared(tmp_path)


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_not_utf8_is_found_wherever_it_stands(tmp_path: Path, prepared: Preparing, kind: str) -> None:
    for split in ("test_sft", "train_sft"):
        path = tmp_path / f"{split}.{kind}"
        _write(path, rows(3000, split))
        content = path.read_bytes()
        at = content.rindex("å".encode())
        path.write_bytes(content[:at] + "å".encode("latin-1") + content[at + 2 :])
    with fails(Cause.DATA, f"train_sft.{kind}", "UTF-8", f"byte {at:,}"):
        prepared(tmp_path)


def _write(path: Path, made: list[Any]) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(made, ensure_ascii=False), encoding="utf-8")
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["messages"])
        writer.writerows([json.dumps(one["messages"], ensure_ascii=False)] for one in made)
