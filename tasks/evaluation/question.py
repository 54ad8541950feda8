"""Questions of the held-out test split: conversations cut at their last answered turn, drawn by a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.invoke import Message, cut


class Question(BaseModel):
    """A conversation up to a user's turn, and what the data has in the answer's place."""

    model_config = ConfigDict(frozen=True)

    messages: tuple[Message, ...]
    reference: str


def questions(path: Path, count: int, seed: int) -> tuple[Question, ...]:
    """So many of the file's conversations, or all of them where there are fewer; none of the same twice."""
    with path.open(encoding="utf-8") as file:
        rows = [cut(json.loads(line)) for line in file if line.strip()]
    found = {row[0]: Question(messages=row[0], reference=row[1]) for row in rows if row is not None}
    every = list(found.values())
    return tuple(random.Random(seed).sample(every, min(count, len(every))))
