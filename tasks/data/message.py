"""A conversation in any of the usual forms as a list of role and content; what cannot be kept is refused.

Azure's fine-tuning component passes role and content to the model's chat template, and trains on every answer
of the assistant. What a row says beyond that either changes nothing, or the row would be trained on otherwise
than it means: then it is refused with the reason.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

Message = dict[str, Any]

ROLE_KEYS = ("role", "from", "speaker", "author", "sender")
CONTENT_KEYS = ("content", "value", "text", "message", "parts")
ALIASES = {
    **dict.fromkeys(("human", "prompter", "customer", "instruction"), "user"),
    **dict.fromkeys(("gpt", "model", "bot", "chatbot", "chatgpt", "ai", "agent", "output"), "assistant"),
    **dict.fromkeys(("bard", "bing", "claude"), "assistant"),  # FastChat's
    "developer": "system",  # OpenAI's name for it since its reasoning models
    **{name: name for name in ("system", "user", "assistant")},
}
_SPEAKERS = {"system", "user", "human", "assistant", "bot", "gpt"}  # as keys of an object
_CALLS = ("tool_calls", "function_call", "function_calls")
_MEDIA = ("image", "images", "audio", "video", "videos", "attachments", "image_url")
_LEARNT = ("weight", "train", "training", "loss", "trainable")  # whether an answer is to be learnt
_TEXT_PARTS = ("text", "input_text", "output_text", None)


class Unfit(ValueError):
    """A row that cannot be trained on as it is meant; the message says why."""


@dataclass
class Reading:
    """Reads conversations; `unused` counts the keys of messages that are left out as they change nothing."""

    roles: Mapping[str, str] = field(default_factory=dict)
    unused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._roles = ALIASES | {name.strip().lower(): role for name, role in self.roles.items()}

    def conversation(self, value: Any) -> Any:
        """Messages of role and content; what is no conversation at all comes back for chat.problem to name.

        Raises Unfit for what could only be kept in part.
        """
        value = parsed(value)
        if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
            value = _transposed(value)
        if not isinstance(value, list):
            return value
        if value and all(isinstance(turn, str) for turn in value):
            return _in_turn(value)
        if value and all(_is_pair(turn) for turn in value):
            return _in_turn([text for pair in value for text in pair])
        turns = [turn for message in value for turn in _by_role(from_entries(message))]
        return [self._message(at, turn) for at, turn in enumerate(turns)]

    def role(self, name: Any) -> Any:
        """Our name of a role, or the one given where it is unknown."""
        return self._roles.get(name.strip().lower(), name) if isinstance(name, str) else name

    @property
    def known_roles(self) -> Mapping[str, str]:
        """Every name of a role, in small letters."""
        return self._roles

    def _message(self, at: int, message: Any) -> Any:
        if not isinstance(message, dict):
            return message
        role_key = next((key for key in ROLE_KEYS if key in message), None)
        content_key = next((key for key in CONTENT_KEYS if key in message), None)
        role = self.role(_decoded(message.get(role_key))) if role_key else None
        for key, value in message.items():
            if key not in (role_key, content_key) and not is_empty(value):
                self._beside(at, role, key, value)
        return {"content": _content(at, message.get(content_key) if content_key else None), "role": role}

    def _beside(self, at: int, role: Any, key: str, value: Any) -> None:
        """A key beside role and content: refused where leaving it out would change the training."""
        if key in _CALLS:
            raise Unfit(f"message {at} calls a tool ({key}), which the fine-tuning component leaves out")
        if key in _MEDIA:
            raise Unfit(f"message {at} holds more than text ({key})")
        if key in _LEARNT and role == "assistant" and value not in (1, True):
            raise Unfit(f"message {at} has {key} {value!r}, and the component would train on it all the same")
        self.unused[f"message key {key}"] += 1


def parsed(value: Any) -> Any:
    """Conversations that stand in a cell or a string as JSON, or as Python writes lists."""
    value = _decoded(value)
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        pass
    try:
        return ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value


def _content(at: int, value: Any) -> Any:
    """Text; parts of text one after the other, as chat templates write them."""
    value = _decoded(value)
    if isinstance(value, dict):
        value = [value]
    if not isinstance(value, list):
        return value
    texts = []
    for part in value:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            return value
        kind, text = part.get("type"), part.get("text")
        others = [key for key, held in part.items() if key not in ("type", "text") and not is_empty(held)]
        if kind not in _TEXT_PARTS or not isinstance(text, str) or set(others) & {*_MEDIA, "inline_data"}:
            raise Unfit(f"message {at} holds more than text ({kind or ', '.join(others) or 'no text'})")
        texts.append(text)
    return "".join(texts) if texts else None


def _decoded(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unfit("a text is not UTF-8") from error


def _transposed(columns: dict[str, list[Any]]) -> Any:
    """Lists of roles and of contents, as `datasets` keeps a sequence of features, as a list of messages."""
    if len({len(column) for column in columns.values()}) != 1:
        return columns
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def from_entries(message: Any) -> Any:
    """A message that Arrow's type of maps holds: a list of keys with their values."""
    if not isinstance(message, list) or not message:
        return message
    if all(isinstance(entry, tuple) and len(entry) == 2 for entry in message):
        return dict(message)
    if all(isinstance(entry, dict) and set(entry) == {"key", "value"} for entry in message):
        return {entry["key"]: entry["value"] for entry in message}
    return message


def _is_pair(turn: Any) -> bool:
    return isinstance(turn, list | tuple) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def is_by_role(message: Any) -> bool:
    """Whether an object holds texts by who says them: {"human": …, "assistant": …}."""
    return isinstance(message, Mapping) and len(message) > 0 and message.keys() <= _SPEAKERS


def _by_role(message: Any) -> list[Any]:
    if not is_by_role(message):
        return [message]
    return [{"role": role, "content": text} for role, text in message.items() if text is not None]


def _in_turn(texts: list[str]) -> list[Message]:
    return [{"content": text, "role": ("user", "assistant")[at % 2]} for at, text in enumerate(texts)]


def is_empty(value: Any) -> bool:
    return value is None or value in ("", [], {})
