"""Answers against references: ROUGE-L and chrF, by the libraries that papers use; both are optional."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

MISSING = (
    "rouge-score and sacrebleu are not installed (uv sync --extra evaluation), so answers have no scores"
)
_WORD = re.compile(r"\w+")


def is_available() -> bool:
    return find_spec("rouge_score") is not None and find_spec("sacrebleu") is not None


def rouge_l(answer: str, reference: str) -> float | None:
    """The F-measure of the longest common subsequence of words, 0 to 1, without stemming."""
    if not is_available():
        return None
    return float(_rouge().score(reference, answer)["rougeL"].fmeasure)


def chrf(answer: str, reference: str) -> float | None:
    """The F-score of common sequences of characters, 0 to 100; with sacrebleu's own settings (chrF2)."""
    if not is_available():
        return None
    return float(_chrf().sentence_score(answer, [reference]).score)


@lru_cache(maxsize=1)
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Words())


class _Words:
    """Words of any script: the library's own are of the letters a to z."""

    def tokenize(self, text: str) -> list[str]:
        return _WORD.findall(text.casefold())


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()
