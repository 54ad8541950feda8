"""Rows of JSON Lines, JSON and CSV files, streamed; a line that cannot be read is a bad row, not the end."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from tasks.azure.failure import Cause, Failure
from tasks.data import ranges
from tasks.data.choice import Rows
from tasks.data.progress_counter import Meter
from tasks.data.source import Format
from tasks.data.stream import buffered, copied

csv.field_size_limit(2**31 - 1)  # a conversation is longer than the default of 128 KiB may hold
_BATCH = 2000  # rows
_FIRST_LINE = 8 * 2**20  # bytes: longer than any row, so that a document in one line is not read as a row


@dataclass(frozen=True)
class Unreadable:
    """A row that is no row."""

    reason: str
    text: str


Row = dict[str, Any] | Unreadable


class TextRows:
    """The rows of a split's text files, in the order of the files' names.

    Use as a context manager. Raises Failure for a file that is not UTF-8 or cannot be parsed as a whole.
    """

    def __init__(self, fs: Any, paths: Sequence[str], kind: Format, meter: Meter) -> None:
        self._fs = fs
        self._paths = list(paths)
        self._kind = kind
        self._meter = meter
        self._stack = ExitStack()

    def __enter__(self) -> TextRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Generator[Row, None, None]:
        for path in self._paths:
            yield from self._read(path)

    def count(self) -> int:
        """How many rows there are: a pass over the files, remote ones copied so that it is the only one."""
        if not ranges.is_local(self._fs):
            self._copy()
        return sum(1 for _ in self)

    def batches(self, rows: Rows) -> Iterator[tuple[list[int], list[Row]]]:
        """The wanted rows and their positions, in order; nothing is read past the last of them."""
        wanted = rows if isinstance(rows, range) else set(rows)
        with closing(iter(self)) as found:
            picked = ((at, row) for at, row in enumerate(islice(found, rows[-1] + 1)) if at in wanted)
            while batch := list(islice(picked, _BATCH)):
                yield [at for at, _ in batch], [row for _, row in batch]

    def _copy(self) -> None:
        import fsspec

        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
        copies = [folder / f"{number}-{Path(path).name}" for number, path in enumerate(self._paths)]
        for path, copy in zip(self._paths, copies, strict=True):
            copied(self._fs, path, copy, self._meter.read)
        self._fs, self._paths = fsspec.filesystem("file"), [str(copy) for copy in copies]

    def _read(self, path: str) -> Generator[Row, None, None]:
        from ijson.common import JSONError

        try:
            with buffered(self._fs, path, self._meter.read) as file:
                if file.peek(3).startswith(codecs.BOM_UTF8):
                    file.read(3)
                yield from {"jsonl": _lines, "json": _document, "csv": _csv}[self._kind](file)
        except UnicodeDecodeError as error:
            raise Failure(
                f"{path} is not UTF-8 (byte {error.start:,}).",
                "Convert it: iconv -f OLD-ENCODING -t UTF-8.",
                cause=Cause.DATA,
            ) from error
        except (csv.Error, JSONError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Failure(
                f"{path} cannot be read: {reason}.", "Check that the file is whole.", cause=Cause.DATA
            ) from error
        except OSError as error:
            raise Failure(
                f"{path} cannot be read: {' '.join(str(error).split())[:200]}.",
                "Check your access to it and the connection.",
                retryable=True,
                cause=Cause.UNREACHABLE,
            ) from error


def _lines(file: io.BufferedReader, ahead: bytes = b"") -> Generator[Row, None, None]:
    """A row a line; `ahead` is the first of them where it has been read already."""
    read = 0
    for line in chain([ahead], file):
        if line.strip():
            yield _line(line, read)
        read += len(line)


def _line(line: bytes, start: int) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unreadable(f"no JSON: {error}", _decoded(line, start).rstrip("\n"))
    return row if isinstance(row, dict) else Unreadable("no JSON object", line.decode().rstrip("\n"))


def _decoded(content: bytes, start: int) -> str:
    """Text of bytes that begin at `start` in their file, where an error is said to be."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnicodeDecodeError(
            error.encoding, content, start + error.start, start + error.end, error.reason
        ) from error


def _document(file: io.BufferedReader) -> Generator[Row, None, None]:
    """The first list of a document, {"data": [...]} or a bare one; files of lines are often called so too."""
    import ijson

    first = file.readline(_FIRST_LINE)
    if _is_row(first) and file.peek(1).strip():
        yield from _lines(file, first)
        return
    events = ijson.parse(_Checked(first, file), use_float=True)
    outside = next((at for at, event, _ in events if event == "start_array" and "." not in at), None)
    if outside is None:
        return
    for row in ijson.items(events, f"{outside}.item".lstrip(".")):
        yield row if isinstance(row, dict) else Unreadable("no JSON object", json.dumps(row))


def _is_row(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


class _Checked:
    """Bytes read ahead, then the file's, checked to be UTF-8: ijson does not say where they are not."""

    def __init__(self, ahead: bytes, file: io.BufferedReader) -> None:
        self._ahead = ahead
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        if not size:
            return b""  # ijson asks so whether it gets bytes or text
        content, self._ahead = self._ahead or self._file.read(size), b""
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            start = self._read - pending + error.start
            raise UnicodeDecodeError(error.encoding, content, start, start + 1, error.reason) from error
        self._read += len(content)
        return content


def _csv(file: io.BufferedReader) -> Generator[Row, None, None]:
    """Columns by the header; nested values, such as messages, are JSON in their cell."""
    for row in csv.DictReader(_text(file), strict=True):
        yield {name: _cell(value) for name, value in row.items() if name is not None}


def _text(file: io.BufferedReader) -> Generator[str, None, None]:
    read = 0
    for line in file:
        yield _decoded(line, read)
        read += len(line)


def _cell(value: str | None) -> Any:
    if value and value[0] in "[{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
