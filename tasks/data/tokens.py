"""How long conversations are: counted by a tokenizer where one is named, else estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from tasks.failure import Failure

# English text in the vocabularies of today's chat models; good to about a fifth either way.
_BYTES_PER_TOKEN = 4.2
_PER_MESSAGE = 4  # role and separators of the chat template


class Tokens:
    """Counts the tokens of conversations. `estimated` says whether a tokenizer does."""

    def __init__(self, tokenizer: str | None) -> None:
        self._tokenizer = _load(tokenizer) if tokenizer else None

    @property
    def estimated(self) -> bool:
        return self._tokenizer is None

    def count(self, frame: pl.DataFrame) -> pl.Series:
        """Tokens of each row of a frame in the chat schema."""
        messages = frame["messages"]
        overhead = messages.list.len().cast(pl.Int64) * _PER_MESSAGE
        contents = messages.list.eval(pl.element().struct.field("content"))
        if self._tokenizer is None:
            size = contents.list.eval(pl.element().str.len_bytes()).list.sum().cast(pl.Float64)
            return (size / _BYTES_PER_TOKEN).ceil().cast(pl.Int64) + overhead
        flat = contents.explode(empty_as_null=False)
        lengths = [
            len(found.ids) for found in self._tokenizer.encode_batch(flat.to_list(), add_special_tokens=False)
        ]
        counted, at = [], 0
        for turns in messages.list.len().to_list():
            counted.append(sum(lengths[at : at + turns]))
            at += turns
        return pl.Series(counted, dtype=pl.Int64) + overhead


def _load(name: str) -> Any:
    """A tokenizer from a folder, a tokenizer.json, or the hub."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise Failure(
            "Counting tokens needs the package tokenizers.",
            "Install it with uv sync --extra local, or leave data.tokenizer empty for an estimate.",
        ) from error
    path = Path(name).expanduser()
    file = path / "tokenizer.json" if path.is_dir() else path
    try:
        return Tokenizer.from_file(str(file)) if file.is_file() else Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises bare Exception, whatever is wrong
        raise Failure(
            f"The tokenizer {name} cannot be loaded: {' '.join(str(error).split())[:200]}.",
            "Set data.tokenizer to a folder with a tokenizer.json, or leave it empty for an estimate.",
        ) from error
