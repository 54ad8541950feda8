"""Nothing is lost or changed in silence: what goes in is what comes out, is rejected, or is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.azure.failure import Failure
from tasks.data.prepare import prepare
from tasks.data.prepared import PreparedData
from tasks.data.section import Data, count
from tests.support.examples import examples
from tests.tasks.data.layouts import LAYOUTS, SHAPES, chats

scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8)
anything = st.recursive(
    scalars,
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    max_leaves=6,
)
texts = st.text(st.characters(exclude_categories=[]), max_size=6)  # half characters too
keys = st.sampled_from(["name", "weight", "tool_calls", "images", "train", "extra"])
roles = st.sampled_from(["user", "assistant", "system", "human", "gpt", "tool", "User"])
content = st.one_of(
    texts,
    st.none(),
    st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": texts}), max_size=2),
)
message = st.builds(
    lambda role, text, more: {"role": role, "content": text, **more},
    roles,
    content,
    st.dictionaries(keys, anything, max_size=2),
)
good = st.integers(0, 10**6).map(lambda n: chats(1, str(n))[0])
row = st.builds(
    lambda messages, more: {"messages": messages, **more},
    st.one_of(st.lists(message, max_size=4), good, anything, good.map(json.dumps)),
    st.dictionaries(
        st.sampled_from(["prompt", "prompt_id", "source", "image", "weight"]), anything, max_size=3
    ),
)


def prepared(folder: Path, directory: Path, **fields: Any) -> PreparedData:
    lax = {"quarantine_limit": 100, "checks": {"duplicates": "off", "leaks": "off"}, "directory": directory}
    return prepare(Data(dataset=str(folder), **(lax | fields)))


def _accounted_for(found: PreparedData, rows: list[Any], path: str) -> None:
    """Each row is among those kept, word for word, or among those rejected, with a reason."""
    split = found.train
    kept = [json.loads(line)["messages"] for line in split.path.read_text("utf-8").split("\n") if line]
    aside = split.quarantine.read_bytes() if split.quarantine else b""
    rejected = [json.loads(line) for line in aside.split(b"\n") if line]
    assert len(kept) + len(rejected) == len(rows) == split.rows + split.quarantined
    assert all(one["reason"].strip() for one in rejected)
    positions = sorted({one["position"] for one in rejected})
    assert len(positions) == len(rejected)
    survivors = [row for at, row in enumerate(rows) if at not in positions]
    for was, now in zip(survivors, kept, strict=True):
        messages = was["messages"]
        messages = json.loads(messages) if isinstance(messages, str) else messages
        assert [one["content"] for one in now] == [_joined(one["content"]) for one in messages]
        for one in messages:
            for key, value in one.items():
                if key not in ("role", "content") and value not in (None, "", [], {}):
                    assert f"message key {key}" in split.unused
                    assert key not in ("tool_calls", "images")
                    if key in ("weight", "train") and one["role"] in ("assistant", "gpt"):
                        assert value in (1, True)
        for key, value in was.items():
            if key not in ("messages", "prompt", "prompt_id") and value not in (None, "", [], {}):
                assert f"column {key}" in split.unused
                assert key != "image"
            if key in ("prompt", "prompt_id") and not isinstance(value, str | int | None):
                assert f"column {key} (not text)" in split.unused


def _joined(content: Any) -> Any:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(row, min_size=1, max_size=8), st.sampled_from(["jsonl", "json", "ndjson"]))
def test_rows_of_any_kind_are_kept_as_they_are_or_rejected(rows: list[Any], form: str) -> None:
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        made = [{"messages": chats(1, "first")[0]}, *rows]  # so that the shape is known, and a row is left
        body = json.dumps(made) if form == "json" else json.dumps({"version": 1, "rows": made})
        lines = "".join(f"{json.dumps(one)}\n" for one in made)
        (folder / f"train.{'jsonl' if form == 'jsonl' else 'json'}").write_text(
            lines if form == "jsonl" else body
        )
        (folder / "test.jsonl").write_text(json.dumps({"messages": chats(1, "test")[0]}) + "\n")
        _accounted_for(prepared(folder, Path(scratch) / "out"), made, form)


@pytest.mark.slow
@settings(max_examples=examples(30), deadline=None)
@given(
    st.integers(3, 60), st.sampled_from(["5%", "10%", "33%", "1", "7"]), st.sampled_from(["10%", "50%", "2"])
)
def test_what_is_cut_adds_up_and_no_row_is_in_two_splits(total: int, validation: str, test: str) -> None:
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "all.jsonl"
        expected = chats(total)
        file.write_text("".join(f"{json.dumps({'messages': chat})}\n" for chat in expected))
        sizes = [count(amount, total) for amount in (validation, test)]
        cut = {"validation": validation, "test": test}
        if sum(sizes) >= total > 2:
            with pytest.raises(Failure, match="none is left to train on"):
                prepared(file, Path(scratch) / "out", cut=cut)
            return
        found = prepared(file, Path(scratch) / "out", cut=cut)
        out = [line for split in found.splits for line in split.path.read_text("utf-8").splitlines()]
        assert sorted(json.loads(line)["prompt"] for line in out) == sorted(c[0]["content"] for c in expected)
        assert found.train.rows >= 1
        assert found.test.rows >= 1


def test_a_file_is_cut_as_the_component_would(tmp_path: Path) -> None:
    file = LAYOUTS["one file"](tmp_path, [SHAPES["messages"](chat) for chat in chats(90)], [])
    found = prepared(file, tmp_path / "out")
    assert [split.rows for split in found.splits] == [72, 9, 9]
    again = prepared(file, tmp_path / "again")
    assert again.sha256 == found.sha256
    assert prepared(file, tmp_path / "other", seed=7).sha256 != found.sha256
    assert "drawn with the seed 42" in found.test.taken


TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "large string": pa.large_string(),
    "string view": pa.string_view(),
    "binary": pa.binary(),
    "large binary": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
    "small dictionary": pa.dictionary(pa.int8(), pa.large_string()),
}
LISTS: dict[str, Callable[[Any], pa.DataType]] = {
    "list": pa.list_,
    "large list": pa.large_list,
    "list of two": lambda kind: pa.list_(kind, 2),
    "list view": pa.list_view,
}


@pytest.mark.parametrize("listed", [*LISTS, "map"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_every_arrow_type_is_read(tmp_path: Path, listed: str, kind: str, suffix: str) -> None:
    expected = chats(12)
    if listed == "map":
        if "dictionary" in kind:
            pytest.skip("Arrow has no maps of these")
        made: Any = [[list(message.items()) for message in chat] for chat in expected]
        full = pa.list_(pa.map_(pa.string(), TYPES[kind]))
    else:
        made = expected
        full = LISTS[listed](pa.struct([("role", TYPES[kind]), ("content", TYPES[kind])]))
    if "binary" in kind:
        made = [[_encoded(message) for message in chat] for chat in made]
    try:
        table = pa.table({"messages": pa.array(made, full), "source": pa.array(["x"] * 12)})
        if suffix == "parquet":
            pq.write_table(table, tmp_path / "all.parquet", row_group_size=5)
            pq.read_table(tmp_path / "all.parquet")
        else:
            with pa.ipc.new_file(tmp_path / "all.arrow", table.schema) as writer:
                writer.write_table(table)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError) as error:
        pytest.skip(f"Arrow itself cannot: {error}")
    found = prepared(tmp_path / f"all.{suffix}", tmp_path / "out")
    out = [line for split in found.splits for line in split.path.read_text("utf-8").splitlines()]
    assert sorted(json.loads(line)["prompt"] for line in out) == sorted(
        chat[0]["content"] for chat in expected
    )
    assert "column source" in found.train.unused


def _encoded(message: Any) -> Any:
    if isinstance(message, dict):
        return {key: value.encode() for key, value in message.items()}
    return [(key, value.encode()) for key, value in message]
