"""A judge of pairs of answers: asked twice, with the two in either order, so that a place wins nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

import requests

from tasks.azure.errors import TRANSIENT_STATUSES
from tasks.azure.failure import Cause, Failure
from tasks.azure.redaction import keep_out
from tasks.evaluation.interval import bootstrap
from tasks.evaluation.result import Asked, Candidate, Verdicts
from tasks.sections.evaluation import Judge

_TIMEOUT = (10, 120)  # seconds to connect, and for an answer
_ASKED = 3  # times, of a service that is busy
_VERDICT = re.compile(r"\b(A|B|TIE)\b")
_ROLE = (
    "You compare two answers to the last message of a conversation. Prefer the one that answers it more "
    "correctly, completely and clearly; a longer answer is not better for its length. Reply with one word: "
    "A, B or TIE."
)


def judged(judge: Judge, asked: Sequence[Asked], other: Candidate, seed: int) -> Verdicts | None:
    """The tuned model's answers beside another's; None where there are none to compare.

    A win or loss counts where both orders agree, and everything else is a tie. Raises Failure where the judge
    cannot be asked.
    """
    pairs = [each for each in asked if {Candidate.TUNED, other} <= each.answers.keys()]
    points = [_point(judge, each, other) for each in pairs]
    if not points:
        return None
    return Verdicts(
        wins=points.count(1.0),
        ties=points.count(0.5),
        losses=points.count(0.0),
        rate=bootstrap(points, seed),
    )


def _point(judge: Judge, asked: Asked, other: Candidate) -> float:
    """1 for a win of the tuned model, 0 for a loss, a half for a tie."""
    tuned, beside = asked.answers[Candidate.TUNED].text, asked.answers[other].text
    first, second = _ask(judge, asked, tuned, beside), _ask(judge, asked, beside, tuned)
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5


def _ask(judge: Judge, asked: Asked, a: str, b: str) -> str:
    turns = "\n\n".join(f"{message.role}: {message.content}" for message in asked.messages)
    text = f"Conversation:\n{turns}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\nWhich is better: A, B or TIE?"
    body = {
        "model": judge.model,
        "messages": [{"role": "system", "content": _ROLE}, {"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 5,
    }
    answer = _answered(judge, body)
    try:
        said = str(answer.json()["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError) as error:
        raise Failure(
            f"The judge at {judge.url} gave no answer of a chat endpoint.",
            "Check evaluation.judge.url: the address before /chat/completions.",
            answer.text[:2000],
            cause=Cause.ANSWER,
        ) from error
    found = _VERDICT.search(said.upper())
    return found[1] if found else "TIE"


def _answered(judge: Judge, body: dict[str, object]) -> requests.Response:
    address = f"{str(judge.url).rstrip('/')}/chat/completions"
    headers = {"Authorization": f"Bearer {_key(judge)}"} if judge.key_variable else {}
    for attempt in range(_ASKED):
        try:
            answer = requests.post(address, json=body, headers=headers, timeout=_TIMEOUT)
        except requests.RequestException as error:
            raise Failure(
                f"The judge at {judge.url} cannot be reached.",
                "Check evaluation.judge.url, or leave it out.",
                str(error),
                cause=Cause.UNREACHABLE,
            ) from error
        if answer.status_code not in TRANSIENT_STATUSES or attempt == _ASKED - 1:
            break
    if not answer.ok:
        raise Failure(
            f"The judge at {judge.url} answers {answer.status_code}.",
            "Check evaluation.judge: its url, its model and its key.",
            answer.text[:2000],
            cause=Cause.ANSWER,
        )
    return answer


def _key(judge: Judge) -> str:
    key = os.environ.get(judge.key_variable or "", "")
    if not key:
        raise Failure(
            f"The judge's key is missing: {judge.key_variable} is not set.",
            "Set it where the flow runs, or leave evaluation.judge.key_variable out.",
            cause=Cause.CONFIGURATION,
        )
    keep_out(key)
    return key
