"""What is too long: by the model's window or the user's own limit, counted or by estimate."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from tasks.data import tokens
from tasks.data.row_filter import SCHEMA
from tasks.data.tokens import Tokens
from tasks.data.window import Window
from tests.tasks.data.conftest import Preparing
from tests.tasks.data.conversations import Row, row, rows, write_lines


@pytest.fixture
def words(tmp_path: Path) -> str:
    """A tokenizer to which every word is a token."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """Rows of a hundred words, and one of a thousand."""
    folder = tmp_path / "lines"
    folder.mkdir()
    write_lines(folder / "train_sft.jsonl", [*rows(50), row(99, turns=40)])
    write_lines(folder / "test_sft.jsonl", rows(20, "test_sft"))
    return folder


def count(one: Row) -> int:
    return sum(len(message["content"].split()) + 4 for message in one["messages"])


def frame(*texts: str) -> pl.DataFrame:
    chats = [[{"role": "user", "content": text}] for text in texts]
    return pl.DataFrame({"messages": chats}, schema={"messages": SCHEMA["messages"]})


def test_a_tokenizer_counts_where_one_is_named(lines: Path, words: str, prepared: Preparing) -> None:
    found = prepared(lines, tokenizer=str(Path(words).parent))
    assert found.test.lengths.tokens == sum(map(count, rows(20, "test_sft")))
    assert found.test.lengths.counted == 20
    assert not found.test.estimated


def test_rows_longer_than_the_models_window_are_bad(lines: Path, words: str, prepared: Preparing) -> None:
    window = Window(limit=200, source="the model's config.json", tokenizer=words)
    found = prepared(lines, window, quarantine_limit=10)
    assert found.train.findings == {"longer than 200 tokens": 1}
    assert json.loads((found.directory / "manifest.json").read_text())["window"] == window.model_dump()
    exact = prepared(lines, window.model_copy(update={"limit": count(row(99, turns=40))}))
    assert (exact.train.rows, exact.train.quarantined) == (51, 0)


def test_what_the_user_sets_wins(lines: Path, words: str, prepared: Preparing) -> None:
    window = Window(limit=200, source="the model's config.json", tokenizer=words)
    assert prepared(lines, window, max_tokens=5000).train.quarantined == 0
    every = lines.parent / "every.json"
    tokenizer = Tokenizer.from_file(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "isolated")
    tokenizer.save(str(every))
    found = prepared(lines, window, max_tokens=5000, tokenizer=str(every))
    assert found.test.lengths.tokens > sum(map(count, rows(20, "test_sft")))
    assert found.window.source == "data.max_tokens"


def test_another_window_is_another_request(lines: Path, words: str, prepared: Preparing) -> None:
    window = Window(limit=5000, tokenizer=words)
    first = prepared(lines, window)
    assert prepared(lines, window.model_copy(update={"source": "another wording"})).reused
    assert not prepared(lines, window.model_copy(update={"limit": 4999})).reused
    tokenizer = Tokenizer.from_file(words)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(words)
    second = prepared(lines, window)
    assert not second.reused
    assert second.train.lengths.tokens > first.train.lengths.tokens


def test_only_rows_that_could_be_too_long_are_counted(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_COUNTED", 0)
    short, near, symbols, long = "word " * 20, "word " * 45, "+ " * 60, "word " * 120
    found = Tokens(Window(limit=100, tokenizer=words)).count(frame(short, near, symbols, long))
    assert found["counted"].to_list() == [False, True, False, True]
    assert found.filter("counted")["tokens"].to_list() == [49, 124]
    assert found["tokens"][2] <= 100


def test_the_first_rows_tell_how_long_a_token_is(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_COUNTED", 1000)
    counts = Tokens(Window(tokenizer=words))
    assert counts.count(frame("nine-byte " * 100))["tokens"].to_list() == [104]
    found = counts.count(frame("nine-byte " * 30))
    assert found.row(0) == (34, False)


def test_no_memory_of_a_frame_is_needed_for_counting_none(words: str) -> None:
    assert Tokens(Window(limit=10, tokenizer=words)).count(frame()).height == 0
