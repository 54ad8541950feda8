"""Every bad input gets one line that says what to do."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tasks.data import prepare
from tests.support.failures import fails
from tests.tasks.data.conftest import Preparing
from tests.tasks.data.conversations import rows, write_lines, write_parquet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "set"
    made.mkdir()
    write_lines(made / "train_sft.jsonl", rows(10))
    write_lines(made / "test_sft.jsonl", rows(10, "test_sft"))
    return made


def test_unknown_split(folder: Path, prepared: Preparing) -> None:
    with fails(Cause.NOT_FOUND, "split 'train_gen'", "test_sft", "train_sft"):
        prepared(folder, train={"name": "train_gen", "take": "5%"})


def test_no_such_file(tmp_path: Path, prepared: Preparing) -> None:
    with fails(Cause.NOT_FOUND, "nothing.jsonl"):
        prepared(tmp_path / "nothing.jsonl")


def test_no_data_files(tmp_path: Path, prepared: Preparing) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with fails(Cause.NOT_FOUND, str(tmp_path), "notes.txt", "parquet"):
        prepared(tmp_path)


def test_broken_parquet(tmp_path: Path, prepared: Preparing) -> None:
    write_parquet(tmp_path)
    (tmp_path / "test_sft-00000-of-00001.parquet").write_bytes(b"PAR1 this is none")
    with fails(Cause.DATA, "test_sft-00000-of-00001.parquet"):
        prepared(tmp_path)


def test_not_utf8(folder: Path, prepared: Preparing) -> None:
    with (folder / "train_sft.jsonl").open("ab") as file:
        file.write('{"prompt": "blåbær"}\n'.encode("latin-1"))
    with fails(Cause.DATA, "train_sft.jsonl", "UTF-8", "iconv"):
        prepared(folder)


def test_full_disk(folder: Path, prepared: Preparing, monkeypatch: pytest.MonkeyPatch, output: Path) -> None:
    def on_a_full_disk(**place: Any) -> str:
        made: str = mkdtemp(**place)
        (Path(made) / "train_sft.jsonl").symlink_to("/dev/full")
        return made

    monkeypatch.setattr(prepare, "mkdtemp", on_a_full_disk)
    with fails(Cause.STORAGE, "full", "data.directory"):
        prepared(folder)
    assert not list(output.iterdir())


def test_a_directory_that_cannot_be(folder: Path, prepared: Preparing) -> None:
    with fails(Cause.STORAGE, "below", "data.directory"):
        prepared(folder, directory=folder / "train_sft.jsonl" / "below")


def test_too_many_long_rows(folder: Path, prepared: Preparing) -> None:
    with fails(Cause.DATA, "10 of 10 rows", "5 tokens", "data.max_tokens"):
        prepared(folder, max_tokens=5)


def test_a_column_that_is_not_there(folder: Path, prepared: Preparing) -> None:
    with fails(Cause.DATA, "Their columns: prompt, prompt_id, messages", "data.columns"):
        prepared(folder, columns={"messages": "chat"})


def test_nothing_left(folder: Path, prepared: Preparing) -> None:
    write_lines(folder / "train_sft.jsonl", [{"messages": []}])
    with fails(Cause.DATA, "No row of train_sft"):
        prepared(folder, quarantine_limit=100)


def test_an_empty_split(folder: Path, prepared: Preparing) -> None:
    (folder / "train_sft.jsonl").write_text("")
    with fails(Cause.DATA, "train_sft has no rows"):
        prepared(folder)


def test_no_messages(tmp_path: Path, prepared: Preparing) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train_sft", "test_sft"):
        pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / f"{split}.parquet")
    with fails(Cause.DATA, "Their columns: text", 'The first row: {"text": "a"}', "data.columns"):
        prepared(tmp_path)


def test_the_same_split_twice(folder: Path, prepared: Preparing) -> None:
    with fails(Cause.CONFIGURATION, "are the same", "data.test.name"):
        prepared(folder, test={"name": "train_sft", "take": "5%"})


def test_mixed_formats(folder: Path, prepared: Preparing) -> None:
    write_parquet(folder)
    with fails(Cause.DATA, "train_sft", "several kinds (json, parquet)"):
        prepared(folder)
    found = prepared(folder, train={"name": "train_sft*.jsonl"}, test={"name": "test_sft.jsonl"})
    assert found.train.rows == 10


def test_a_tokenizer_that_is_none(folder: Path, prepared: Preparing, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with fails(Cause.CONFIGURATION, "tokenizer", str(tmp_path)):
        prepared(folder, tokenizer=str(tmp_path))
