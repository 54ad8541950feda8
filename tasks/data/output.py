"""A split on disk: rows in the chat schema as JSON Lines, rejected rows beside them with their reasons."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl

from tasks.data.row_filter import Bad

EXAMPLES = 3  # bad rows shown when there are too many


class _Hashed:
    """A file that knows the hash of what was written to it, and why no more could be.

    The hash is taken in a thread, one piece behind the writing: both take about as long.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._hashing: Future[None] | None = None
        self._sha256 = hashlib.sha256()
        self.bytes = 0
        self.error: OSError | None = None

    @property
    def sha256(self) -> str:
        self._hashed()
        return self._sha256.hexdigest()

    def close(self) -> None:
        """Nothing more is written; of what was, the hash is known."""
        self._thread.shutdown()

    def write(self, content: bytes) -> int:
        self._hashed()  # no more than one waits to be hashed: memory stays flat
        self._hashing = self._thread.submit(self._sha256.update, content)
        self.bytes += len(content)
        try:
            return self._file.write(content)
        except OSError as error:
            self.error = error
            raise

    def _hashed(self) -> None:
        hashing, self._hashing = self._hashing, None
        if hashing:
            hashing.result()


class Output:
    """Writes `<split>.jsonl` and, where there are bad rows, `<split>.quarantine.jsonl` into a folder.

    Good rows are written in a thread, while the next are read; size and hash are known on leaving the block.
    """

    def __init__(self, folder: Path, split: str) -> None:
        self.path = folder / f"{split}.jsonl"
        self.quarantine = folder / f"{split}.quarantine.jsonl"
        self._file = self.path.open("wb")
        self._written = _Hashed(self._file)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="output")
        self._writing: Future[None] | None = None
        self._bad: BinaryIO | None = None
        self.rows = 0
        self.examples: list[Bad] = []
        self.reasons: Counter[str] = Counter()

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait()
        finally:
            self._thread.shutdown()
            self._written.close()
            self._file.close()
            if self._bad:
                self._bad.close()

    @property
    def bytes(self) -> int:
        return self._written.bytes

    @property
    def sha256(self) -> str:
        return self._written.sha256

    @property
    def quarantined(self) -> int:
        return self.reasons.total()

    def write(self, good: pl.DataFrame, bad: list[Bad]) -> None:
        if good.height:
            self._wait()  # no more than one waits to be written: memory stays flat
            self._writing = self._thread.submit(self._append, good)
            self.rows += good.height
        for row in bad:
            self._reject(row)

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _append(self, good: pl.DataFrame) -> None:
        try:
            good.write_ndjson(self._written)
        except OSError as error:
            raise self._written.error or error from error  # polars' own has lost its number

    def _reject(self, bad: Bad) -> None:
        if self._bad is None:
            self._bad = self.quarantine.open("wb")
        document = {"position": bad.position, "reason": bad.reason, "row": bad.row}
        self._bad.write(_line(document))
        self.reasons[bad.reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(bad)


def _line(document: dict[str, Any]) -> bytes:
    try:
        option = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        return orjson.dumps(document, default=_readable, option=option)
    except TypeError:  # half a character, which JSON can name and UTF-8 cannot, or a number too large
        return json.dumps(document, default=_readable).encode() + b"\n"


def _readable(value: Any) -> str:
    """For values of types that JSON has not, such as a CSV's surplus cells or parquet's dates."""
    return str(value)
