"""Answers of earlier runs: for whom they are known, nobody deploys a model to be told the same again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from tasks.evaluation.question import Question
from tasks.evaluation.result import Candidate
from tasks.invoke import Invoke, Message, request
from tasks.sections.evaluation import Evaluation as Section


class Earlier(BaseModel):
    """What a model has answered in an earlier flow run, by the digest of the request."""

    model_config = ConfigDict(frozen=True)

    answers: Mapping[str, str] = {}
    run: str | None = None

    def to(self, asked: Question, section: Section) -> str | None:
        """The answer to a question of an evaluation like this one; None where it is not known."""
        return self.answers.get(digest(asked.messages, likeliest(section)))

    def knows(self, wanted: Iterable[str]) -> bool:
        """Whether it has an answer for each of the digests."""
        return self.answers.keys() >= set(wanted)


Known = Mapping[Candidate, Earlier]


def digest(messages: Sequence[Message], invoke: Invoke) -> str:
    """Equal for requests of the same words that want the answer in the same way."""
    text = json.dumps(request(tuple(messages), invoke), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def likeliest(section: Section) -> Invoke:
    """How an evaluation wants answers: the likeliest token each time, so that equal models answer equally."""
    return Invoke(do_sample=False, temperature=0, max_new_tokens=section.max_new_tokens)
