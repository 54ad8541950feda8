"""Rows of JSON Lines, JSON and CSV files, streamed; a line that cannot be read is a bad row, not the end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson

from tasks.data.meter import Meter
from tasks.data.source import Format
from tasks.failure import Failure

csv.field_size_limit(2**31 - 1)  # a conversation is longer than the default of 128 KiB may hold


@dataclass(frozen=True)
class Unreadable:
    """A row that is no row."""

    reason: str
    text: str


Row = dict[str, Any] | Unreadable


class TextRows:
    """The rows of a split's text files, in the order of the files' names.

    Raises Failure for a file that is not UTF-8 or cannot be parsed as a whole.
    """

    def __init__(self, fs: Any, paths: Sequence[str], kind: Format, meter: Meter) -> None:
        self._fs = fs
        self._paths = paths
        self._kind = kind
        self._meter = meter

    def count(self) -> int:
        """How many rows there are: a pass over the files."""
        return sum(1 for path in self._paths for _ in self._read(path, Meter()))

    def __iter__(self) -> Iterator[Row]:
        for path in self._paths:
            yield from self._read(path, self._meter)

    def _read(self, path: str, meter: Meter) -> Iterator[Row]:
        try:
            with self._fs.open(path, "rb") as file:
                yield from {"jsonl": _lines, "json": _array, "csv": _csv}[self._kind](file, meter)
        except UnicodeDecodeError as error:
            raise Failure(
                f"{path} is not UTF-8 (byte {error.start:,}).",
                "Convert it: iconv -f OLD-ENCODING -t UTF-8.",
            ) from error
        except (csv.Error, orjson.JSONDecodeError) as error:
            raise Failure(f"{path} cannot be read: {error}.", "Check that the file is whole.") from error
        except OSError as error:
            raise Failure(
                f"{path} cannot be read: {' '.join(str(error).split())[:200]}.",
                "Check your access to it and the connection.",
                retryable=True,
            ) from error


def _lines(file: BinaryIO, meter: Meter) -> Iterator[Row]:
    read = 0
    for line in file:
        meter.read(len(line))
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            try:
                text = line.decode()
            except UnicodeDecodeError as wrong:
                raise UnicodeDecodeError(
                    wrong.encoding, line, read + wrong.start, read + wrong.end, wrong.reason
                ) from error
            yield Unreadable(f"no JSON: {error}", text.rstrip("\n"))
        else:
            yield row if isinstance(row, dict) else Unreadable("no JSON object", line.decode().rstrip("\n"))
        read += len(line)


def _array(file: BinaryIO, meter: Meter) -> Iterator[Row]:
    content = file.read()
    meter.read(len(content))
    content.decode()  # says where a file is not UTF-8
    rows = orjson.loads(content)
    if isinstance(rows, dict):  # {"data": [...]} is the other usual form
        rows = next((value for value in rows.values() if isinstance(value, list)), [rows])
    for row in rows:
        yield row if isinstance(row, dict) else Unreadable("no JSON object", json.dumps(row))


def _csv(file: BinaryIO, meter: Meter) -> Iterator[Row]:
    """Columns by the header; nested values, such as messages, are JSON in their cell."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")

    def metered() -> Iterator[str]:
        for line in lines:
            meter.read(len(line))
            yield line

    for row in csv.DictReader(metered(), strict=True):
        yield {name: _cell(value) for name, value in row.items() if name is not None}


def _cell(value: str | None) -> Any:
    if value and value[0] in "[{":
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
