"""Answers against references: ROUGE-L and chrF; the libraries that compute them are optional."""

from __future__ import annotations

import importlib
import re
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

MISSING = "rapidfuzz and sacrebleu are not installed (uv sync --extra evaluation), so answers have no scores"
_WORD = re.compile(r"\w+")


def is_available() -> bool:
    return find_spec("rapidfuzz") is not None and find_spec("sacrebleu") is not None


def load() -> None:
    """Load what the first score would be kept waiting for."""
    if is_available():
        importlib.import_module("rapidfuzz.distance")
        _chrf()


def rouge_l(answer: str, reference: str) -> float | None:
    """The F-measure of the longest common subsequence of words, 0 to 1, without stemming.

    Lin 2004: the mean of precision and recall that is twice the common words by all words. Words are of any
    script; the package rouge-score knows those of the letters a to z, and takes a second to be imported.
    """
    if not is_available():
        return None
    from rapidfuzz.distance import LCSseq

    said, wanted = (_WORD.findall(text.casefold()) for text in (answer, reference))
    if not said or not wanted:
        return 0.0
    return 2 * LCSseq.similarity(said, wanted) / (len(said) + len(wanted))


def chrf(answer: str, reference: str) -> float | None:
    """The F-score of common sequences of characters, 0 to 100; with sacrebleu's own settings (chrF2)."""
    if not is_available():
        return None
    return float(_chrf().sentence_score(answer, [reference]).score)


@lru_cache(maxsize=1)
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()
