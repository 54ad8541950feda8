"""What makes a conversation fit to train on: the rules of the fine-tuning component.

The component itself finds such rows hours later, on the GPU, or drops them without a word.
"""

from __future__ import annotations

from typing import Any

ROLES = ("system", "user", "assistant")


def problem(messages: Any) -> str | None:
    """Why a conversation cannot be trained on; None for a good one.

    Good is a list of {"role", "content"}: at most one system message, which comes first, then user and
    assistant in turn, the assistant last; every content a string that is not blank.
    """
    if not isinstance(messages, list):
        return "messages is not a list"
    if not messages:
        return "messages is empty"
    for position, message in enumerate(messages):
        if not isinstance(message, dict):
            return f"message {position} is not an object with role and content"
        if message.get("role") not in ROLES:
            return f"message {position} has the unknown role {message.get('role')!r}"
        if not isinstance(message.get("content"), str):
            return f"message {position} has no text"
        if not message["content"].strip():
            return f"message {position} is blank"
    return _out_of_order([message["role"] for message in messages])


def _out_of_order(roles: list[str]) -> str | None:
    if "system" in roles[1:]:
        return "a system message stands after the beginning"
    turns = roles[1:] if roles[0] == "system" else roles
    if not turns:
        return "there is no message but the system's"
    for position, role in enumerate(turns):
        expected = ("user", "assistant")[position % 2]
        if role != expected:
            return f"the {role} speaks where the {expected} should"
    if turns[-1] != "assistant":
        return "the last message is not the assistant's"
    return None
