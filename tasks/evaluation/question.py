"""Questions of the held-out test split: conversations cut at their last answered turn, drawn by a seed."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.invoke import Message, cut


class Question(BaseModel):
    """A conversation up to a user's turn, and what the data has in the answer's place."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...]
    reference: str

    @property
    def digest(self) -> str:
        """Equal for equal questions, by which answers of an earlier evaluation are found."""
        return digest(self.messages)


def digest(messages: Sequence[Message]) -> str:
    text = json.dumps([(message.role, message.content) for message in messages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def questions(path: Path, count: int, seed: int) -> tuple[Question, ...]:
    """So many of the file's conversations, or all of them where there are fewer; none of the same twice."""
    with path.open(encoding="utf-8") as file:
        rows = [cut(json.loads(line)) for line in file if line.strip()]
    found = {digest(row[0]): Question(messages=row[0], reference=row[1]) for row in rows if row is not None}
    every = list(found.values())
    return tuple(random.Random(seed).sample(every, min(count, len(every))))
