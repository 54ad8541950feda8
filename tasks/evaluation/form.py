"""The form of an answer: whether it is there, ends, repeats itself, and keeps to the language."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from tasks.data.window import Window, tokenizer_file
from tasks.evaluation.result import Fault

_LONG = 200  # bytes, from which on repetition and language can be told
# Text that compresses to less than this part of itself says the same again and again; of English prose of
# this length a half is usual. (Whisper's decoding takes a ratio of 2.4 for a failure.)
_REPEATED = 1 / 3
_SURE = 0.9  # of a language
_BYTES_PER_TOKEN = 4.2


def faults(answer: str, reference: str, window: Window, longest: int) -> Iterator[Fault]:
    """What is wrong; `longest` are the tokens that the answer was allowed."""
    if not answer.strip():
        yield Fault.EMPTY
        return
    content = answer.encode()
    if len(content) >= _LONG and len(zlib.compress(content)) < _REPEATED * len(content):
        yield Fault.RUNAWAY
    if _counter(window.tokenizer)(answer) >= longest:
        yield Fault.CUT
    if is_other_language(answer, reference):
        yield Fault.LANGUAGE


def load(window: Window) -> None:
    """Load what the first answer would be kept waiting for."""
    _counter(window.tokenizer)
    if find_spec("py3langid") is not None:
        _languages()


def is_other_language(answer: str, reference: str) -> bool:
    """Whether both are long enough to tell, and surely of two languages."""
    found = _language(answer)
    return found is not None and _language(reference) not in (None, found)


@lru_cache(maxsize=4)
def _counter(tokenizer: str | None) -> Callable[[str], int]:
    """What counts an answer's tokens: the model's own tokenizer, else the length of the text.

    Azure's `/score` says nothing of why an answer ended: one of as many tokens as were allowed was cut.
    """
    file = tokenizer_file(tokenizer) if tokenizer else None
    if file is None or find_spec("tokenizers") is None:
        return lambda text: round(len(text.encode()) / _BYTES_PER_TOKEN)
    from tokenizers import Tokenizer

    loaded: Any = Tokenizer.from_file(str(file))
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _language(text: str) -> str | None:
    """The language's code; None where the text is too short, or it is not sure, or nothing can tell."""
    if len(text.encode()) < _LONG or find_spec("py3langid") is None:
        return None
    language, probability = _languages().classify(text)
    return str(language) if probability >= _SURE else None


@lru_cache(maxsize=1)
def _languages() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
