"""The validator: its two forms, row by row and by column, never disagree."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.chat import problem
from tasks.data.row_filter import SCHEMA, RowFilter
from tasks.data.section import Data
from tasks.data.tokens import Tokens
from tasks.data.window import Window

roles = st.sampled_from(["system", "user", "assistant", "tool", "", "user|assistant", None])
contents = st.one_of(
    st.none(), st.text(max_size=5), st.sampled_from(["Hi", " ", "\n\t", "\u2003", "\x1f", "a\x00"])
)
messages = st.lists(st.fixed_dictionaries({"content": contents, "role": roles}), max_size=6)
conversations = st.lists(st.one_of(st.none(), messages), min_size=1, max_size=8)


@pytest.mark.slow
@given(conversations)
def test_by_column_and_row_by_row_agree(chats: list[Any]) -> None:
    frame = pl.DataFrame({"messages": chats}, schema={"messages": SCHEMA["messages"]})
    good, bad = RowFilter(Data(), Tokens(Window())).frame(range(len(chats)), frame)
    wrong = {one.position for one in bad if "stands there already" not in one.reason}
    assert wrong == {at for at, chat in enumerate(chats) if problem(chat)}
    assert good.height + len(bad) == len(chats)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_whatever_stands_there_is_judged(anything: Any) -> None:
    wrong = problem(anything)
    assert wrong is None or wrong.strip()


@given(st.booleans(), st.integers(1, 5), st.text().filter(str.strip))
def test_what_is_well_formed_is_good(system: bool, pairs: int, text: str) -> None:
    chat = [{"role": "system", "content": text}] if system else []
    chat += [{"role": role, "content": text} for role in ("user", "assistant")] * pairs
    assert problem(chat) is None


@given(st.lists(st.sampled_from(["system", "user", "assistant"]), min_size=1, max_size=7))
def test_roles_are_in_order_or_named(order: list[str]) -> None:
    turns = order[1:] if order[0] == "system" else order
    in_order = turns == ["user", "assistant"] * (len(turns) // 2) and len(turns) > 0
    assert (problem([{"role": role, "content": "x"} for role in order]) is None) == in_order


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ([], "messages is empty"),
        ("text", "messages is not a list"),
        (["text"], "message 0 is not an object"),
        ([{"role": "tool", "content": "x"}], "unknown role 'tool'"),
        ([{"role": "user", "content": 3}], "message 0 has no text"),
        ([{"role": "user", "content": " "}], "message 0 is blank"),
        ([{"role": "system", "content": "x"}], "no message but the system's"),
    ],
)
def test_each_fault_is_named(chat: Any, reason: str) -> None:
    assert reason in str(problem(chat))
