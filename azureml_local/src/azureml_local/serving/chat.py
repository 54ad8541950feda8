"""Azure's chat-completion score request and its answers, as values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Message = dict[str, str]

ROLES = ("system", "user", "assistant", "tool")


class InvalidRequest(ValueError):
    """The request cannot be scored as it stands; the message says what to change."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Defaults are those of Azure's chat-completion server."""

    max_new_tokens: int = 200
    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    do_sample: bool = True
    repetition_penalty: float = 1.0

    @property
    def greedy(self) -> bool:
        return not self.do_sample or self.temperature == 0


@dataclass(frozen=True)
class ChatRequest:
    """One score request: its conversations, and whether they came one level deeper (a list of lists)."""

    conversations: tuple[tuple[Message, ...], ...]
    sampling: Sampling
    nested: bool

    def answer(self, texts: Sequence[str]) -> Any:
        """The response body for one generated text a conversation.

        Azure has two servers: the one that takes the flat list answers an object, the one that takes a
        list of conversations answers the rows of a one-column table. The shape asked in is the shape
        answered in.
        """
        if self.nested:
            return [{"0": text} for text in texts]
        return {"output": texts[0]}


def parse(body: Any) -> ChatRequest:
    """Read a score request.

    Raises:
        InvalidRequest: a field is missing, of the wrong type, or out of range.
    """
    input_data = body.get("input_data") if isinstance(body, dict) else None
    if not isinstance(input_data, dict) or "input_string" not in input_data:
        raise InvalidRequest(
            'the body must be {"input_data": {"input_string": [{"role": …, "content": …}, …], '
            '"parameters": {…}}}'
        )
    listed = input_data["input_string"]
    if not isinstance(listed, list) or not listed:
        raise InvalidRequest("input_data.input_string must be a list of messages, and not empty")
    nested = isinstance(listed[0], list)
    conversations = listed if nested else [listed]
    return ChatRequest(
        conversations=tuple(_conversation(each, nested) for each in conversations),
        sampling=_sampling(input_data.get("parameters")),
        nested=nested,
    )


def _conversation(messages: Any, nested: bool) -> tuple[Message, ...]:
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest("each conversation in input_data.input_string must be a list of messages")
    conversation = tuple(message(each, position) for position, each in enumerate(messages))
    # The server that takes a list of conversations refuses to speak after itself; the flat one goes on.
    if nested and conversation[-1]["role"] != "user":
        raise InvalidRequest("the last message of each conversation must have the role 'user'")
    return conversation


def message(given: Any, position: int) -> Message:
    """A message of a request; raises InvalidRequest."""
    if not isinstance(given, dict) or not {"role", "content"} <= given.keys():
        raise InvalidRequest(f"message {position} must be an object with role and content")
    role, content = given["role"], given["content"]
    if role not in ROLES:
        raise InvalidRequest(f"message {position}: role must be one of {', '.join(ROLES)}, not {role!r}")
    if not isinstance(content, str):
        raise InvalidRequest(f"message {position}: content must be a string")
    return {"role": role, "content": content}


def _sampling(parameters: Any) -> Sampling:
    if parameters is None:
        return Sampling()
    if not isinstance(parameters, dict):
        raise InvalidRequest("input_data.parameters must be an object")
    # Azure's clients send return_full_text; a chat answer never holds the prompt, so it has no effect here.
    asked = {name: value for name, value in parameters.items() if name != "return_full_text"}
    unknown = sorted(asked.keys() - _RULES.keys())
    if unknown:
        raise InvalidRequest(f"unknown parameter {', '.join(unknown)}; known are {', '.join(sorted(_RULES))}")
    return checked(asked)


def checked(asked: Mapping[str, Any]) -> Sampling:
    """The sampling with these of its fields set; raises InvalidRequest for a value out of its range."""
    for name, value in asked.items():
        holds, rule = _RULES[name]
        if not holds(value):
            raise InvalidRequest(f"parameter {name} must be {rule}, not {value!r}")
    return replace(Sampling(), **asked)


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(low: float, high: float, *, above: bool = False) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return (low < value if above else low <= value) and value <= high

    return holds


_RULES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "max_new_tokens": (_whole(1, 32768), "a whole number from 1 to 32768"),
    "temperature": (_number(0, 100), "a number from 0 (greedy) to 100"),
    "top_p": (_number(0, 1, above=True), "a number above 0 and at most 1"),
    "top_k": (_whole(0, 1_000_000), "a whole number, 0 for no limit"),
    "do_sample": (lambda value: isinstance(value, bool), "true or false"),
    "repetition_penalty": (_number(0, 10, above=True), "a number above 0 and at most 10"),
}
