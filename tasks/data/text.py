"""Rows of JSON, CSV and TSV files, streamed; a line that cannot be read is a rejected row, not the end."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, dropwhile, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.azure.failure import Cause, Failure
from tasks.data import document, packed, ranges
from tasks.data.choice import Rows
from tasks.data.document import Row, Unreadable, decoded
from tasks.data.layout import Format
from tasks.data.progress_counter import ProgressCounter
from tasks.data.source import Source
from tasks.data.stream import buffered, copied
from tasks.data.utf8 import as_utf8

csv.field_size_limit(2**31 - 1)  # a conversation is longer than the default of 128 KiB may hold
_BATCH = 2000  # rows
_CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class _File:
    path: str
    format: Format
    member: str | None = None  # of a document that holds its splits: the name of the list


class TextRows:
    """The rows of a split's text files, in the order of the files' names.

    Use as a context manager. Raises Failure for a file that is not UTF-8 or cannot be parsed as a whole.
    """

    def __init__(self, source: Source, paths: Sequence[str], meter: ProgressCounter) -> None:
        self._fs = source.fs
        self._files = [
            _File(file, source.formats[path], member)
            for path in paths
            for file, member in [source.within.get(path, (path, None))]
        ]
        self._meter = meter
        self._stack = ExitStack()
        self.unused: set[str] = set()  # parts of documents that hold no rows

    def __enter__(self) -> TextRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __iter__(self) -> Generator[Row, None, None]:
        for file in self._files:
            yield from self._read(file)

    @cached_property
    def total(self) -> int:
        """How many rows there are: a pass over the files, remote ones copied so that it is the only one."""
        if not ranges.is_local(self._fs):
            self._copy()
        return sum(1 for _ in self)

    def batches(self, rows: Rows) -> Iterator[tuple[list[int], list[Row]]]:
        """The wanted rows and their positions, in order; nothing is read past the last of them."""
        if not len(rows):
            return
        wanted = rows if isinstance(rows, range) else set(rows)
        with closing(iter(self)) as found:
            picked = ((at, row) for at, row in enumerate(islice(found, rows[-1] + 1)) if at in wanted)
            while batch := list(islice(picked, _BATCH)):
                yield [at for at, _ in batch], [row for _, row in batch]

    def _copy(self) -> None:
        import fsspec

        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
        copies = []
        for number, file in enumerate(self._files):
            copy = folder / f"{number}-{Path(file.path).name[-80:]}"
            copied(self._fs, file.path, copy, self._meter.read)
            copies.append(replace(file, path=str(copy)))
        self._fs, self._files = fsspec.filesystem("file"), copies

    def _read(self, file: _File) -> Generator[Row, None, None]:
        from ijson.common import JSONError

        path = file.path
        try:
            with buffered(self._fs, path, self._meter.read) as stored:
                if packed.packing(stored.peek(6)[:6]) != "zip":
                    yield from self._parsed(stored, file)
                    return
            # An archive's table of contents stands at its end.
            with packed.only_member(self._on_disk(file), path) as content:
                yield from self._parsed(content, file)
        except UnicodeDecodeError as error:
            raise Failure(
                f"{path} is not UTF-8 (byte {error.start:,}).",
                "Convert it: iconv -f CP1252 -t UTF-8, if an older Windows program wrote it.",
                cause=Cause.DATA,
            ) from error
        except packed.ERRORS as error:
            raise Failure(
                f"{path} is cut off or damaged: {_line(error)}.", "Download it again.", cause=Cause.DATA
            ) from error
        except JSONError as error:
            raise Failure(
                f"{path} is not valid JSON: {_line(error)}.",
                "Correct it there (JSON has no comments, and no comma before a closing bracket), or fetch it "
                "again if it is cut off.",
                cause=Cause.DATA,
            ) from error
        except csv.Error as error:
            raise Failure(
                f"{path} cannot be read as a table: {_line(error)}.",
                "Check that each quotation mark is closed, and that the file is whole.",
                cause=Cause.DATA,
            ) from error
        except OSError as error:
            raise Failure(
                f"{path} cannot be read: {_line(error)}.",
                "Check that it is whole, your access to it and the connection.",
                retryable=True,
                cause=Cause.UNREACHABLE,
            ) from error

    def _on_disk(self, file: _File) -> Path:
        if ranges.is_local(self._fs):
            return Path(file.path)
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
        return copied(self._fs, file.path, folder / "archive.zip", self._meter.read)

    def _parsed(self, content: io.BufferedReader, file: _File) -> Generator[Row, None, None]:
        content = as_utf8(packed.unpacked(content))
        packed.check_pointer(content.peek(64)[:64], file.path)
        if file.format is Format.JSON:
            yield from document.rows(content, file.path, self.unused, file.member)
        else:
            yield from _table(content, file)


def _table(content: io.BufferedReader, file: _File) -> Generator[Row, None, None]:
    """Columns by the header. A row of another width is rejected, as its cells are in wrong columns."""
    lines = dropwhile(lambda line: not line.strip(), _text(content))
    header_line = next(lines, "")
    delimiter = _delimiter(header_line, file.format)
    if said := _SEPARATOR.fullmatch(header_line):
        delimiter, header_line = said[1], next(lines, "")
    reader = csv.reader(chain([header_line], lines), strict=True, delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if len(set(header)) < len(header):
        double = next(name for name in header if header.count(name) > 1)
        raise Failure(
            f"{file.path} has the column {double!r} twice.", "Rename one of them.", cause=Cause.DATA
        )
    for cells in reader:
        if len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        elif cells:
            yield Unreadable(f"{len(cells)} cells where the header has {len(header)}", str(cells))


_SEPARATOR = re.compile(r"sep=(.)\s*", re.I)  # Excel's first line for itself


def _delimiter(header: str, kind: Format) -> str:
    """What separates the header's names: spreadsheets write semicolons where a comma is in numbers."""
    marks = "\t,;|" if kind is Format.TSV else ",;\t|"
    return max(marks, key=header.count)


def _text(file: io.BufferedReader) -> Generator[str, None, None]:
    """Lines; those that end with a carriage return alone, as Excel for Mac writes them, where no other is."""
    head = file.peek(_BATCH)
    lines: Iterable[bytes] = file if b"\n" in head or b"\r" not in head else _of_returns(file)
    read = 0
    for line in lines:
        yield decoded(line, read)
        read += len(line)


def _of_returns(file: io.BufferedReader) -> Iterator[bytes]:
    left = b""
    while content := file.read(_CHUNK):
        *whole, left = (left + content).split(b"\r")
        yield from (line + b"\r" for line in whole)
    if left:
        yield left


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
