"""How the rows of a split hold their conversations: recognised by their columns, and read accordingly."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tasks.data.message import (
    CONTENT_KEYS,
    ROLE_KEYS,
    Message,
    Reading,
    Unfit,
    from_entries,
    is_by_role,
    is_empty,
    parsed,
)
from tasks.data.section import Column, Data, Shape

_LISTS = ("items", "data")  # of messages or, in a document, of rows
_CONVERSATIONS = (
    *("messages", "conversations", "conversation", "dialogue", "dialog", "dialogs", "chat", "turns"),
    *("contents", *_LISTS),
)
_QUESTIONS: dict[Shape, tuple[str, ...]] = {
    Shape.INSTRUCTION: ("instruction",),
    Shape.PROMPT: ("prompt", "query", "input", "inputs", "user", "human", "problem"),
    Shape.QUESTION: ("question",),
}
_ANSWERS = (
    "completion",
    "response",
    "output",
    "answer",
    "assistant",
    "reply",
    "solution",
    "target",
    "targets",
)
_MORE = {"input": ("input", "context"), "system": ("system", "system_prompt", "system_message")}
_HISTORY = ("history",)
_MEDIA = ("image", "images", "audio", "audios", "video", "videos")
_NAMES = {
    Shape.MESSAGES: "messages",
    Shape.SHAREGPT: "ShareGPT",
    Shape.TURNS: "plain turns",
    Shape.INSTRUCTION: "instructions",
    Shape.PROMPT: "prompts and completions",
    Shape.QUESTION: "questions and answers",
}
_OBJECTS = (Shape.MESSAGES, Shape.SHAREGPT)
_SHOWN = 300  # characters of a row
_LOOKED_AT = 50  # rows


@dataclass(frozen=True)
class Recognised:
    """The shape of a split's rows; `columns` are the source's names by ours."""

    shape: Shape
    columns: Mapping[Column, str]
    bare: bool = False  # a row is the list itself, without a column

    def __str__(self) -> str:
        name = _NAMES[self.shape]
        if self.bare:
            return f"{name}: each row a list → messages"
        if (column := self.columns.get("messages")) is not None:
            return name if column == name else f"{name}: {column} → messages"
        shown: tuple[Column, ...] = ("system", "history", "prompt", "input", "completion")
        return f"{name}: {', '.join(self.columns[ours] for ours in shown if ours in self.columns)} → messages"

    @property
    def used(self) -> set[str]:
        """The columns of the source that are read."""
        return set(self.columns.values())

    def messages(self, row: Any, reading: Reading) -> Any:
        """The row's conversation as messages of role and content, if it is one; raises Unfit."""
        if self.bare:
            return reading.conversation(row)
        for column, value in row.items():
            if column in _MEDIA and not is_empty(value):
                raise Unfit(f"the row holds more than text ({column})")
            if column == "weight" and value in (0, False) and value is not None:
                raise Unfit("the row has the weight 0: the component would train on it like on the others")
            if column not in self.used and not is_empty(value):
                reading.unused[f"column {column or '(without a name)'}"] += 1
        if (column := self.columns.get("messages")) is not None:
            return self._listed(row, column, reading)
        return self._paired(row, reading)

    def _value(self, row: Mapping[str, Any], ours: Column) -> Any:
        """What the row has in one of our columns; None where the shape has no such column."""
        return row.get(self.columns[ours]) if ours in self.columns else None

    def _listed(self, row: Mapping[str, Any], column: str, reading: Reading) -> Any:
        if column not in row:
            raise Unfit(f"there is no column {column}")
        found = reading.conversation(row[column])
        system = self._value(row, "system")
        if isinstance(system, str) and system.strip() and isinstance(found, list):
            if found and isinstance(found[0], dict) and found[0].get("role") == "system":
                raise Unfit("the row has two system messages, one of them in a column")
            return [{"content": system, "role": "system"}, *found]
        return found

    def _paired(self, row: Mapping[str, Any], reading: Reading) -> Any:
        """The question's and the answer's columns as a conversation, with what belongs before them."""
        question, answer = self._value(row, "prompt"), self._value(row, "completion")
        if isinstance(question, str) and isinstance(answer, str) and question[:1] == answer[:1] == "[":
            # Lists of messages as JSON, in a table of text: both columns are, so that no question is.
            lists = [parsed(value) for value in (question, answer)]
            question, answer = lists if all(_kind(found) for found in lists) else (question, answer)
        messages = self._before(row, reading)
        for ours, role, value in (("prompt", "user", question), ("completion", "assistant", answer)):
            if isinstance(value, str):
                messages.append({"content": value, "role": role})
                continue
            turns = reading.conversation(value)  # TRL has lists of messages in these columns as well
            if not isinstance(turns, list):
                there = self.columns[ours]  # type: ignore[index]
                raise Unfit(f"{there} is not text" if value is not None else f"{there} is empty")
            messages += turns
        more = self._value(row, "input")
        if isinstance(more, str) and more.strip():
            at = max(at for at, message in enumerate(messages) if message["role"] == "user")
            joined = f"{messages[at]['content']}\n{more}"
            messages[at] = {"content": joined, "role": "user"}
        elif not is_empty(more):
            raise Unfit(f"{self.columns['input']} is not text")
        return messages

    def _before(self, row: Mapping[str, Any], reading: Reading) -> list[Message]:
        system, history = self._value(row, "system"), self._value(row, "history")
        found: list[Message] = []
        if isinstance(system, str) and system.strip():
            found.append({"content": system, "role": "system"})
        elif not is_empty(system) and not isinstance(system, str):
            raise Unfit(f"{self.columns['system']} is not text")
        if not is_empty(history):
            turns = reading.conversation(history)
            if not isinstance(turns, list):
                raise Unfit(f"{self.columns['history']} is no list of turns")
            found += turns
        return found


def recognise(rows: Iterable[Any], data: Data) -> Recognised | None:
    """The shape of the rows, by the first of them that has one; None where none is known."""
    looked_at = list(islice(rows, _LOOKED_AT))
    for row in looked_at:
        if (found := _recognised(row, data)) is not None:
            return found
    if data.format not in (None, Shape.MESSAGES):
        return None
    column = data.column("messages")  # named so, but none of these rows holds a conversation there
    is_there = any(isinstance(row, Mapping) and column in row for row in looked_at)
    others: dict[Column, str] = {"prompt": data.column("prompt"), "prompt_id": data.column("prompt_id")}
    return Recognised(Shape.MESSAGES, {"messages": column, **others}) if is_there else None


def is_row(value: Any) -> bool:
    """Whether a value, as a document holds it, is a row of a shape that is known."""
    found = _recognised(value, _DEFAULT)
    if found is None or found.bare or "messages" in found.columns:
        return found is not None
    pair = (value[found.columns[ours]] for ours in ("prompt", "completion"))
    return all(not isinstance(one, Mapping | list) or _kind(one) in _OBJECTS for one in pair)


def wanted(columns: Sequence[str], data: Data) -> list[str]:
    """Of a table's columns those that a conversation may be in, or that would make it more than text."""
    listed = [data.columns["messages"]] if "messages" in data.columns else _present(_CONVERSATIONS, columns)
    known: set[str] = {*_MEDIA, "weight", *data.columns.values(), data.column("prompt_id")}
    if listed:
        known |= {*listed, data.column("prompt"), *_MORE["system"]}
    if not listed or (data.format not in (None, Shape.MESSAGES, Shape.SHAREGPT, Shape.TURNS)):
        known |= {*_ANSWERS, *_HISTORY, *(name for names in _MORE.values() for name in names)}
        known |= {name for names in _QUESTIONS.values() for name in names}
    return [column for column in columns if column in known or column.strip().lower() in known]


def shortened(row: Any) -> str:
    """A row as one short line, each of its texts cut."""
    text = json.dumps(_cut(row), ensure_ascii=True, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= 40 else f"{value[:39]}…"
    if isinstance(value, Mapping):
        return {str(key): _cut(inner) for key, inner in list(value.items())[:12]}
    if isinstance(value, list | tuple):
        return [_cut(inner) for inner in value[:2]] + (["…"] if len(value) > 2 else [])
    return value


def _recognised(row: Any, data: Data) -> Recognised | None:
    if isinstance(row, list):
        kind = _kind(row)
        return Recognised(kind, {}, bare=True) if kind and data.format in (None, kind) else None
    if not isinstance(row, Mapping):
        return None
    if (found := _listed(row, data)) is not None:
        return found
    return _paired(row, data)


def _listed(row: Mapping[str, Any], data: Data) -> Recognised | None:
    """A column that holds the whole conversation."""
    if data.format not in (None, Shape.MESSAGES, Shape.SHAREGPT, Shape.TURNS):
        return None
    mapped = data.columns.get("messages")
    for column in [mapped] if mapped else _present(_CONVERSATIONS, row):
        kind = _kind(row.get(column))
        if kind is None and column.strip().lower() not in _LISTS and _is_by_roles(row.get(column)):
            kind = Shape.MESSAGES
        if kind is None or data.format not in (None, kind):
            continue
        # Whether or not this row has them: another may.
        system = _mapped(("system",), _MORE["system"], row, data) or data.column("system")
        prompt, identifier = data.column("prompt"), data.column("prompt_id")
        columns: dict[Column, str] = {
            "messages": column,
            "prompt": prompt,
            "prompt_id": identifier,
            "system": system,
        }
        return Recognised(kind, columns)
    return None


def _paired(row: Mapping[str, Any], data: Data) -> Recognised | None:
    """A column that holds the question, and one that holds the answer."""
    answer = _mapped(("completion",), _ANSWERS, row, data)
    for shape, names in _QUESTIONS.items():
        if data.format not in (None, shape):
            continue
        question = _mapped(("prompt",), names, row, data)
        if not (question and answer) or question == answer:
            continue
        columns: dict[Column, str] = {"prompt": question, "completion": answer}
        others = {"system": _MORE["system"], "history": _HISTORY}
        others["input"] = _MORE["input"] if shape is Shape.INSTRUCTION else ("context",)
        for ours, theirs in others.items():
            found = _mapped((ours,), theirs, row, data)  # type: ignore[arg-type]
            if found and found not in columns.values():
                columns[ours] = found  # type: ignore[index]
        columns["prompt_id"] = data.column("prompt_id")
        return Recognised(shape, columns)
    return None


def _mapped(ours: tuple[Column], known: Sequence[str], row: Mapping[str, Any], data: Data) -> str | None:
    """The column that the recipe names, else the first of the known names that is there."""
    named = data.columns.get(ours[0])
    if named is not None:
        return named if named in row else None
    return next(iter(_present(known, row)), None)


def _present(names: Sequence[str], columns: Iterable[str]) -> list[str]:
    """Of the names those that are there, in any letter case, as they are written there."""
    there = {str(column).strip().lower(): str(column) for column in columns}
    return [there[name] for name in names if name in there]


def _kind(value: Any) -> Shape | None:
    """What a value that may be a conversation is, by its first element."""
    try:
        value = parsed(value)
    except Unfit:
        return None
    if isinstance(value, Mapping):  # lists of roles and of contents
        keys = set(value)
        lists = all(isinstance(column, list) for column in value.values())
        return _by_keys(keys) if lists else None
    if not isinstance(value, list) or not value:
        return None
    first = from_entries(value[0])
    if isinstance(first, Mapping):
        return _by_keys(set(first))
    turns = all(isinstance(turn, str) for turn in value)
    pairs = all(
        isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)
        for turn in value
    )
    return Shape.TURNS if turns or pairs else None


def _is_by_roles(value: Any) -> bool:
    try:
        value = parsed(value)
    except Unfit:
        return False
    return isinstance(value, list) and bool(value) and all(is_by_role(from_entries(turn)) for turn in value)


def _by_keys(keys: set[str]) -> Shape | None:
    if not keys & set(ROLE_KEYS):
        return None
    if "from" in keys and "role" not in keys:
        return Shape.SHAREGPT
    return Shape.MESSAGES if keys & {*CONTENT_KEYS, "tool_calls", "function_call"} else None


_DEFAULT = Data()
