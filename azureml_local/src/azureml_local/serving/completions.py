"""OpenAI's chat-completion request and its answers, as values.

Azure's image foundation-model-inference answers them below /v1: it passes on fields that it does not know,
ignores the request's `model`, and names the base model in the answer (llm-optimized-inference 0.2.58, read).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from azureml_local.serving.chat import InvalidRequest, Message, Sampling, checked, message

DONE = b"data: [DONE]\n\n"
# What would change the answer and cannot be given here; passed over in silence it would mislead.
_REFUSED = ("stop", "tools", "functions", "logprobs", "response_format", "logit_bias")
_SAMPLING = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "repetition_penalty": "repetition_penalty",
    "max_tokens": "max_new_tokens",
    "max_completion_tokens": "max_new_tokens",
}


@dataclass(frozen=True)
class Generated:
    """What the model has said; `is_whole` when it ended by itself and not at its limit."""

    text: str
    prompt_tokens: int
    tokens: int
    is_whole: bool

    @property
    def reason(self) -> str:
        return "stop" if self.is_whole else "length"

    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }


@dataclass(frozen=True)
class CompletionRequest:
    """A conversation, how to choose its tokens, and whether they are wanted one by one."""

    messages: tuple[Message, ...]
    sampling: Sampling
    stream: bool
    with_usage: bool


def parse(body: Any, usual: Mapping[str, Any], room: int) -> CompletionRequest:
    """Read a request; what it leaves open is `usual`, and the answer may be as long as there is `room`.

    Raises:
        InvalidRequest: a field is missing, of the wrong type, out of range, or cannot be followed.
    """
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise InvalidRequest("the body must have a list of messages that is not empty")
    for name in _REFUSED:
        if body.get(name):
            raise InvalidRequest(f"{name} is not supported by this server: leave it out")
    if body.get("n") not in (None, 1):
        raise InvalidRequest("n must be 1: this server gives one answer")
    asked = {ours: body[theirs] for theirs, ours in _SAMPLING.items() if body.get(theirs) is not None}
    return CompletionRequest(
        messages=tuple(message(_flat(each), at) for at, each in enumerate(body["messages"])),
        sampling=checked({"temperature": 1.0, "top_p": 1.0, "max_new_tokens": room, **usual, **asked}),
        stream=body.get("stream") is True,
        with_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


@dataclass(frozen=True)
class Completion:
    """One answer on its way, whole or in pieces; `model` is what it calls the model."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, generated: Generated) -> dict[str, Any]:
        """The answer in one piece."""
        said = {"role": "assistant", "content": generated.text}
        choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": generated.reason}
        return self._body("chat.completion", [choice], usage=generated.usage())

    def first(self) -> bytes:
        """The event with which a stream begins."""
        return self._event({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        """The event of some more text."""
        return self._event({"content": text})

    def last(self, generated: Generated, *, with_usage: bool) -> bytes:
        """The events with which a stream ends."""
        end = self._event({}, generated.reason)
        usage = self._sent(self._body("chat.completion.chunk", [], usage=generated.usage()))
        return end + (usage if with_usage else b"") + DONE

    def _event(self, delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return self._sent(self._body("chat.completion.chunk", [choice]))

    def _body(self, kind: str, choices: Sequence[dict[str, Any]], **more: Any) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }

    def _sent(self, body: dict[str, Any]) -> bytes:
        return f"data: {json.dumps(body, ensure_ascii=False)}\n\n".encode()


def _flat(given: Any) -> Any:
    """The message with its content as one text, where it came as a list of texts."""
    if not isinstance(given, dict) or not isinstance(given.get("content"), list):
        return given
    parts = given["content"]
    if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in parts):
        raise InvalidRequest("a message's content must be text")
    return {**given, "content": "".join(part["text"] for part in parts)}
