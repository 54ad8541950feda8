"""What preparing data would come to, found out without reading a row, beside what it then does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause
from tasks.data import parquet, ranges
from tasks.data.expected import Expected, expect, expect_offline
from tasks.data.prepare import prepare
from tasks.data.section import Data
from tasks.data.window import Window
from tests.support.failures import fails
from tests.support.range_server import serving
from tests.tasks.data.conversations import SHARE, rows

WINDOW = Window()


def section(dataset: str, output: Path, **over: Any) -> Data:
    return Data.model_validate({"dataset": dataset, "directory": output, **SHARE, **over})


def by_role(found: Expected) -> dict[str, Any]:
    return {split.role: split for split in found.splits}


def test_footers_alone_tell_the_rows_and_the_bytes_that_are_then_fetched(
    folder: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small files, of which the first request for a footer would bring the whole, and the gaps between ranges.
    monkeypatch.setattr(parquet, "_FOOTER", 4096)
    monkeypatch.setattr(ranges, "_GAP", 0)
    with serving(folder) as server:
        data = section(f"{server.url}/*.parquet", output)
        found = expect(data, WINDOW)
        footers = server.bytes
        made = prepare(data, window=WINDOW)
    splits = by_role(found)
    assert {role: split.rows for role, split in splits.items()} == {"train": 15, "test": 10}
    assert found.prepared is None
    # An honest price: what preparing reads beyond the footers is what was said, to the byte.
    assert sum(split.fetched for split in splits.values()) == made.bytes_read - footers
    assert footers < sum(file.stat().st_size for file in folder.glob("*.parquet")) / 2
    assert splits["train"].text > 0


def test_what_was_prepared_is_not_asked_for_again(folder: Path, output: Path) -> None:
    with serving(folder) as server:
        data = section(f"{server.url}/*.parquet", output)
        made = prepare(data, window=WINDOW)
        before = server.bytes
        found = expect(data, WINDOW)
        assert server.bytes == before
    assert found.prepared == made
    assert {role: (each.rows, each.fetched) for role, each in by_role(found).items()} == {
        "train": (15, 0),
        "test": (10, 0),
    }


def test_lines_far_away_are_not_fetched_to_be_counted(tmp_path: Path, output: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    for name, count in (("train_sft", 60), ("test_sft", 20)):
        lines = [json.dumps(row) for row in rows(count, name)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    with serving(folder) as server:
        splits = by_role(expect(section(f"{server.url}/*.jsonl", output), WINDOW))
        assert server.bytes == 0
    assert (splits["train"].rows, splits["test"].rows) == (None, 10)  # a share of an unknown number
    assert splits["train"].fetched == (folder / "train_sft.jsonl").stat().st_size
    there = by_role(expect(section(str(folder), output), WINDOW))
    assert (there["train"].rows, there["test"].rows) == (15, 10)


def test_a_server_that_breaks_off_every_footer_is_one_line(folder: Path, output: Path) -> None:
    with serving(folder) as server:
        server.break_off = 10_000
        with fails(Cause.UNREACHABLE, server.url):
            expect(section(f"{server.url}/*.parquet", output), WINDOW)
        assert not output.exists()


def test_offline_only_the_section_and_the_tutorials_dataset_are_known() -> None:
    own = by_role(expect_offline(section("https://example.invalid/set", Path("nowhere"))))
    assert (own["train"].rows, own["test"].rows) == (None, 10)
    tutorial = Data.model_validate({"test": {"name": "test_sft", "take": "100"}})
    known = by_role(expect_offline(tutorial))
    assert (known["train"].rows, known["test"].rows) == (10_393, 100)
    assert known["train"].text == 5_788 * 10_393
