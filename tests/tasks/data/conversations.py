"""Conversations for the tests, and files of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
# A part of each split of `write_parquet`'s files: a share of the one, a number of the other.
SHARE = {
    "train": {"name": "train_sft", "take": "25%"},
    "test": {"name": "test_sft", "take": "10"},
}


def row(number: int, split: str = "train_sft", turns: int = 4) -> Row:
    """A good conversation; no two are the same."""
    messages = [
        {"content": f"{split} {number}, turn {turn}: " + "blå " * 20, "role": ("user", "assistant")[turn % 2]}
        for turn in range(turns)
    ]
    return {"prompt": messages[0]["content"], "prompt_id": f"{split}-{number}", "messages": messages}


def rows(count: int, split: str = "train_sft") -> list[Row]:
    return [row(number, split) for number in range(count)]


def write_parquet(folder: Path, *, train: int = 60, test: int = 20, group: int = 10, shards: int = 3) -> Path:
    """Both splits as the hub lays them out: shards of row groups."""
    for split, count, files in (("train_sft", train, shards), ("test_sft", test, 1)):
        made = rows(count, split)
        for shard in range(files):
            part = made[count * shard // files : count * (shard + 1) // files]
            path = folder / f"{split}-{shard:05}-of-{files:05}.parquet"
            # Text that does not compress, so that row groups differ from footers in size.
            table = pa.Table.from_pylist(part).append_column("noise", pa.array(["x" * 4000] * len(part)))
            pq.write_table(table, path, row_group_size=group, compression="none")
    return folder


def write_lines(path: Path, made: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(one)}\n" for one in made), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
