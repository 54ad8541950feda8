"""How long conversations are: counted by a tokenizer where that decides something, else estimated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from tasks.azure.failure import Cause, Failure
from tasks.data.window import Window, tokenizer_file

# English text in the vocabularies of today's chat models; good to about a fifth either way.
_BYTES_PER_TOKEN = 4.2
_PER_MESSAGE = 4  # role and separators of the chat template
# Counting all rows would take many times what all the rest does. The first bytes are counted anyway: so a
# small set is counted whole, and of a large one it is known how long its tokens are.
_COUNTED = 2**20
_WORDS = "[a-z ]+"
_AT_ONCE = 512  # messages: what the tokenizer makes of them is many times as large as they are


class Tokens:
    """Counts the tokens of conversations, by the window's tokenizer where it has one.

    A row that could be too long for the window is then counted always: whether it is, no estimate decides.
    """

    def __init__(self, window: Window) -> None:
        self.limit = window.limit
        self._tokenizer = _load(window.tokenizer) if window.tokenizer else None
        self._bytes = 0  # of what was counted
        self._tokens = 0

    def count(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The `tokens` of each row of a frame in the chat schema, and whether they were `counted`."""
        contents = pl.col("messages").list.eval(pl.element().struct.field("content"))
        rows = frame.select(
            size=contents.list.eval(pl.element().str.len_bytes()).list.sum().cast(pl.Int64),
            template=pl.col("messages").list.len().cast(pl.Int64) * _PER_MESSAGE,
        )
        if self._tokenizer is None:
            return rows.select(tokens=self._estimate(), counted=pl.lit(False))
        rows = rows.with_columns(most=self._most(frame, rows))
        limit = self.limit if self.limit is not None else rows["most"].max()
        wanted = rows.select(
            (pl.col("most") > limit) | (pl.col("size").cum_sum() + self._bytes <= _COUNTED)
        ).to_series()
        counted = pl.Series(list(self._counted(frame.filter(wanted)["messages"])), dtype=pl.Int64)
        self._bytes += rows.filter(wanted)["size"].sum()
        self._tokens += counted.sum()
        tokens = rows.select(pl.min_horizontal(self._estimate(), "most")).to_series()
        tokens = tokens.scatter(wanted.arg_true(), counted + rows.filter(wanted)["template"])
        return pl.DataFrame({"tokens": tokens, "counted": wanted})

    def _estimate(self) -> pl.Expr:
        bytes_per_token = self._bytes / self._tokens if self._tokens else _BYTES_PER_TOKEN
        return (pl.col("size") / bytes_per_token).ceil().cast(pl.Int64) + pl.col("template")

    def _most(self, frame: pl.DataFrame, rows: pl.DataFrame) -> pl.Series:
        """How many tokens a row can have: one a byte, and one for two bytes of what is made of words.

        The second, which takes a look at the text, is for the rows that the first alone does not clear.
        """
        most = rows["size"] + rows["template"]
        if self.limit is None:
            return most
        large = most > self.limit
        contents = pl.col("messages").list.eval(pl.element().struct.field("content"))
        others = pl.element().str.replace_all(_WORDS, "").str.len_bytes()
        strange = frame.filter(large).select(contents.list.eval(others).list.sum().cast(pl.Int64)).to_series()
        words = rows.filter(large)["size"] - strange
        return most.scatter(large.arg_true(), most.filter(large) - words // 2)

    def _counted(self, conversations: pl.Series) -> Iterator[int]:
        """The tokens of each conversation's contents."""
        contents = conversations.list.eval(pl.element().struct.field("content"))
        lengths = self._lengths(contents.explode(empty_as_null=False))
        for turns in conversations.list.len():
            yield sum(next(lengths) for _ in range(turns))

    def _lengths(self, texts: pl.Series) -> Iterator[int]:
        assert self._tokenizer is not None
        for start in range(0, len(texts), _AT_ONCE):
            some = texts[start : start + _AT_ONCE].to_list()
            for found in self._tokenizer.encode_batch_fast(some, add_special_tokens=False):
                yield len(found.ids)


def _load(name: str) -> Any:
    """A tokenizer from a folder, a tokenizer.json, or the hub."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise Failure(
            "Counting tokens needs the package tokenizers.",
            "Install it with uv sync --extra local, or leave data.tokenizer empty for an estimate.",
            cause=Cause.CONFIGURATION,
        ) from error
    file = tokenizer_file(name)
    try:
        return Tokenizer.from_file(str(file)) if file else Tokenizer.from_pretrained(name)
    except Exception as error:  # the library raises bare Exception, whatever is wrong
        raise Failure(
            f"The tokenizer {name} cannot be loaded: {' '.join(str(error).split())[:200]}.",
            "Set data.tokenizer to a folder with a tokenizer.json, or leave it empty for an estimate.",
            cause=Cause.CONFIGURATION,
        ) from error
