"""A judge of pairs of answers: asked twice, with the two in either order, so that a place wins nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import requests

from tasks.azure.errors import TRANSIENT_STATUSES
from tasks.azure.failure import Cause, Failure
from tasks.azure.redaction import keep_out
from tasks.evaluation.interval import bootstrap
from tasks.evaluation.result import Asked, Candidate, JudgeBill, Verdicts
from tasks.sections.evaluation import Judge

_TIMEOUT = (10, 120)  # seconds to connect, and for an answer
_LONGEST = 5  # tokens of a verdict
_ASKED = 3  # times, of a service that is busy
_VERDICT = re.compile(r"\b(A|B|TIE)\b")
_ROLE = (
    "You compare two answers to the last message of a conversation. Prefer the one that answers it more "
    "correctly, completely and clearly; a longer answer is not better for its length. Reply with one word: "
    "A, B or TIE."
)


class Spending:
    """What a judge may be asked, and what it was: no pair is begun that its budget would not pay for."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._requests = self._asked = self._said = self._left_out = 0
        self._estimated = False

    @property
    def bill(self) -> JudgeBill:
        return JudgeBill(
            requests=self._requests,
            tokens=self._asked + self._said,
            dollars=self._judge.dollars(self._asked, self._said),
            estimated=self._estimated,
            left_out=self._left_out,
        )

    def allows(self, text: str) -> bool:
        """Whether a pair may be asked about, twice, with a question of this text; else it is left out."""
        judge, asked = self._judge, self._asked + 2 * _tokens(text)
        said = self._said + 2 * _LONGEST
        dollars = judge.dollars(asked, said)
        within = (
            (judge.budget_requests is None or self._requests + 2 <= judge.budget_requests)
            and (judge.budget_tokens is None or asked + said <= judge.budget_tokens)
            and (judge.budget_usd is None or dollars is None or dollars <= judge.budget_usd)
        )
        self._left_out += not within
        return within

    def note(self, text: str, usage: Any) -> None:
        """Count a request, by the usage that its answer states."""
        self._requests += 1
        try:
            asked, said = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        except (TypeError, LookupError, ValueError):
            asked, said = _tokens(text), _LONGEST
            self._estimated = True
        self._asked += asked
        self._said += said


def judged(
    spending: Spending, judge: Judge, asked: Sequence[Asked], other: Candidate, seed: int
) -> Verdicts | None:
    """The tuned model's answers beside another's; None where there are none to compare, or to be paid for.

    A win or loss counts where both orders agree, and everything else is a tie. Raises Failure where the judge
    cannot be asked.
    """
    pairs = [each for each in asked if {Candidate.TUNED, other} <= each.answers.keys()]
    affordable = (each for each in pairs if spending.allows(_question(each, *_texts(each, other))))
    points = [_point(spending, judge, each, other) for each in affordable]
    if not points:
        return None
    return Verdicts(
        wins=points.count(1.0),
        ties=points.count(0.5),
        losses=points.count(0.0),
        rate=bootstrap(points, seed),
        left_out=len(pairs) - len(points),
    )


def _point(spending: Spending, judge: Judge, asked: Asked, other: Candidate) -> float:
    """1 for a win of the tuned model, 0 for a loss, a half for a tie."""
    tuned, beside = _texts(asked, other)
    first = _ask(spending, judge, _question(asked, tuned, beside))
    second = _ask(spending, judge, _question(asked, beside, tuned))
    if (first, second) == ("A", "B"):
        return 1.0
    return 0.0 if (first, second) == ("B", "A") else 0.5


def _texts(asked: Asked, other: Candidate) -> tuple[str, str]:
    return asked.answers[Candidate.TUNED].text, asked.answers[other].text


def _question(asked: Asked, a: str, b: str) -> str:
    turns = "\n\n".join(f"{message.role}: {message.content}" for message in asked.messages)
    return f"Conversation:\n{turns}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\nWhich is better: A, B or TIE?"


def _tokens(text: str) -> int:
    """An estimate of a question with its role, rather more than less: a token is three bytes and longer."""
    return -(-len((_ROLE + text).encode()) // 3)


def _ask(spending: Spending, judge: Judge, text: str) -> str:
    body = {
        "model": judge.model,
        "messages": [{"role": "system", "content": _ROLE}, {"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": _LONGEST,
    }
    answer = _answered(judge, body)
    try:
        found = answer.json()
        said = str(found["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError) as error:
        raise Failure(
            f"The judge at {judge.url} gave no answer of a chat endpoint.",
            "Check evaluation.judge.url: the address before /chat/completions.",
            answer.text[:2000],
            cause=Cause.ANSWER,
        ) from error
    spending.note(text, found.get("usage"))
    verdict = _VERDICT.search(said.upper())
    return verdict[1] if verdict else "TIE"


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
