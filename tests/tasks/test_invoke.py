"""The question and the answer: where a conversation is cut, and what counts as an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tasks.azure.failure import Cause, Failure
from tasks.invoke import Invoke, Message, cut, read_answer, request, sample


def row(*turns: str) -> dict[str, Any]:
    """Turns such as `u:Hi`, by the first letter of who says them."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in turns]}


@pytest.mark.parametrize(
    ("turns", "asked", "truth"),
    [
        (["u:1", "a:2"], ["1"], "2"),
        (["s:0", "u:1", "a:2"], ["0", "1"], "2"),
        (["u:1", "a:2", "u:3", "a:4"], ["1", "2", "3"], "4"),
        (["u:1", "a:2", "u:3"], ["1"], "2"),  # the last turn has no answer
        (["u:1", "a:2", "a:3"], ["1"], "2"),
    ],
)
def test_a_row_is_cut_at_its_last_answered_turn(turns: list[str], asked: list[str], truth: str) -> None:
    found = cut(row(*turns))
    assert found is not None
    assert ([message.content for message in found[0]], found[1]) == (asked, truth)


@pytest.mark.parametrize("turns", [[], ["u:1"], ["a:1", "u:2"], ["s:0", "a:1"]])
def test_a_row_without_an_answered_turn_is_not_asked(turns: list[str]) -> None:
    assert cut(row(*turns)) is None


def test_a_seed_asks_the_same_row_each_time(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    rows = [row(f"u:{n}", f"a:{n}") for n in range(20)]
    file.write_text("\n".join([*map(json.dumps, rows), "", json.dumps(row("u:never"))]))
    assert sample(file, 3) == sample(file, 3)
    assert len({sample(file, seed)[1] for seed in range(20)}) > 5


def test_data_without_an_answer_is_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps(row("u:1")))
    with pytest.raises(Failure) as raised:
        sample(file, 0)
    assert raised.value.cause is Cause.DATA


def test_the_request_is_a_flat_list_that_ends_with_the_user() -> None:
    body = request((Message(role="user", content="Hi"),), Invoke(temperature=0, do_sample=False))
    assert body["input_data"]["input_string"] == [{"role": "user", "content": "Hi"}]
    assert body["input_data"]["parameters"] == {
        "temperature": 0,
        "top_p": 0.9,
        "do_sample": False,
        "max_new_tokens": 200,
    }


@pytest.mark.parametrize(
    "body",
    [
        {"output": " yes\n"},
        [{"0": "yes"}],
        json.dumps({"output": "yes"}),  # JSON within JSON
        json.dumps([{"0": "yes"}]),
    ],
)
def test_either_servers_answer_is_read(body: Any) -> None:
    assert read_answer(body) == "yes"


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"output": ""},
        {"output": " \n"},
        {"output": 3},
        {"output": "None"},
        5,
        None,
        "no JSON",
        {"error": "no memory"},
    ],
)
def test_what_is_no_answer_is_refused(body: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_answer(body)
