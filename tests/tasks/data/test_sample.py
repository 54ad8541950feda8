"""The bundled conversations: schema, size, and that what should have been left out is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.data import sample
from tasks.data.sample import derive


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("path", "count"), [(sample.TRAIN, 200), (sample.TEST, 32)])
def test_rows_have_the_chat_schema(path: Path, count: int) -> None:
    found = rows(path)
    assert len(found) == count
    for row in found:
        assert row.keys() == {"prompt", "prompt_id", "messages"}
        assert row["prompt"] == row["messages"][0]["content"]
        roles = [message["role"] for message in row["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(message["content"].strip() for message in row["messages"])


def test_no_row_is_in_both_splits() -> None:
    identifiers = [row["prompt_id"] for path in (sample.TRAIN, sample.TEST) for row in rows(path)]
    assert len(set(identifiers)) == len(identifiers)


def test_nothing_personal_or_unwelcome_is_left() -> None:
    for path in (sample.TRAIN, sample.TEST):
        for row in rows(path):
            text = " ".join(message["content"] for message in row["messages"])
            assert not any(mark in text for mark in ("@", "http", "www."))
            assert not derive._PERSONAL.search(text)
            assert not derive._left_out().search(text)


def conversation(*texts: str) -> dict[str, Any]:
    messages = [{"text": text, "sender": str(place % 2)} for place, text in enumerate(texts)]
    return {"messages": [[message] for message in messages]}


def test_messages_of_one_person_are_one_turn() -> None:
    said = {
        "messages": [
            [{"text": "a", "sender": "x"}, {"text": "b", "sender": "x"}],
            [{"text": "c", "sender": "y"}],
        ]
    }
    assert list(derive._turns(said)) == ["a b", "c"]


def test_a_row_ends_with_an_answer() -> None:
    assert list(derive._turns(conversation("one", "two", "three"))) == ["one", "two"]


@pytest.mark.parametrize("text", ["write to me@example.org", "i am 12345", "my name is zed", "what the hell"])
def test_a_doubtful_conversation_is_left_out(text: str) -> None:
    filler = ["this is a sentence that takes up some room in the row, as it should"] * 5
    common = frozenset(derive._WORD.findall(" ".join([*filler, text]).lower()))
    assert derive._fits([*filler, filler[0]], common)
    assert not derive._fits([*filler, text], common)
