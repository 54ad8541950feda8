"""Rows of JSON in whatever form a file has it: lines, a list, an object that holds the list, one object."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import orjson

from tasks.azure.failure import Cause, Failure
from tasks.data.shape import is_row
from tasks.data.whole_document import is_table, rows_in

_FIRST_LINE = 8 * 2**20  # bytes: longer than any row


@dataclass(frozen=True)
class Unreadable:
    """A row that is no row."""

    reason: str
    text: str


Row = dict[str, Any] | list[Any] | Unreadable


def rows(
    file: io.BufferedReader, path: str, unused: set[str], member: str | None = None
) -> Generator[Row, None, None]:
    """The rows of a JSON file, streamed; what a document holds beside them is added to `unused`.

    With a `member`, those of an object's list of that name alone. Raises Failure for a document that has
    several lists of rows.
    """
    if member is not None:
        yield from _list(_Checked(b"", file), f"{member}.item")
        return
    ahead = _first_lines(file)
    if not ahead:
        return
    first = _loaded(ahead[0])
    if _are_lines(ahead, first):
        yield from _lines(chain(ahead, file))
    elif isinstance(first, list):
        # A list of messages is one row; a list of anything else, pairs of texts as well, is one of rows.
        alone = bool(first) and isinstance(first[0], dict) and is_row(first)
        yield from [first] if alone else map(_as_row, first)
    elif isinstance(first, dict) and not is_table(first) and is_row(first):
        yield first
    elif ahead[0].lstrip().startswith(b"["):
        yield from _list(_Checked(b"".join(ahead), file))
    else:
        yield from _objects(_Checked(b"".join(ahead), file), path, unused)


def decoded(content: bytes, start: int) -> str:
    """Text of bytes that begin at `start` in their file, where an error is said to be."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnicodeDecodeError(
            error.encoding, content, start + error.start, start + error.end, error.reason
        ) from error


def _first_lines(file: io.BufferedReader) -> list[bytes]:
    """Up to the third line that is not blank, blank ones included."""
    found: list[bytes] = []
    while sum(bool(line.strip()) for line in found) < 3 and (line := file.readline(_FIRST_LINE)):
        if found or line.strip():
            found.append(line)
    return found


def _are_lines(ahead: list[bytes], first: Any) -> bool:
    """Whether every line is a document: the first is, or is broken where those after it are."""
    spoken = [line for line in ahead if line.strip()]
    if first is not _NOTHING:
        return len(spoken) > 1 or not isinstance(first, dict | list)
    if spoken[0].lstrip().startswith(b"[") and all(line.rstrip().endswith(b",") for line in spoken):
        return False  # a list with a row a line
    others = [_loaded(line) for line in spoken[1:]]
    return bool(others) and all(isinstance(other, dict | list) for other in others)


def _lines(lines: Iterator[bytes]) -> Generator[Row, None, None]:
    read = 0
    for line in lines:
        if line.strip():
            yield _line(line, read)
        read += len(line)


def _line(line: bytes, start: int) -> Row:
    try:
        return _as_row(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        if line.rstrip().endswith(b","):  # lines that were cut out of a list
            return _line(line.rstrip()[:-1], start)
        text = decoded(line, start)
        found = _loaded_leniently(text)
        return _as_row(found) if found is not _NOTHING else Unreadable(f"no JSON: {error}", text.rstrip("\n"))


def _as_row(value: Any) -> Row:
    if isinstance(value, dict | list):
        return value
    return Unreadable("no JSON object", json.dumps(value, default=str))


_NOTHING = object()


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        if line.rstrip().endswith(b","):
            return _loaded(line.rstrip()[:-1])
        try:
            return _loaded_leniently(line.decode())
        except UnicodeDecodeError:
            return _NOTHING


def _loaded_leniently(text: str) -> Any:
    """What Python itself writes as JSON, with NaN and large numbers, and orjson refuses."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _list(content: _Checked, prefix: str = "item") -> Generator[Row, None, None]:
    import ijson

    yield from map(_as_row, ijson.items(content, prefix, use_float=True))


def _objects(content: _Checked, path: str, unused: set[str]) -> Generator[Row, None, None]:
    """Objects one after the other, over many lines each: rows themselves, or around a list of rows."""
    import ijson

    events = ijson.basic_parse(content, multiple_values=True, use_float=True)
    for event, value in events:
        if event != "start_map":
            yield _as_row(_built(event, value, events))
            continue
        members = _Members(path)
        yield from members.read(events)
        beside = set(members.rest)
        if members.rows_in is None:
            found = None if is_row(members.rest) else rows_in(members.rest)
            inside, beside = found or ([members.rest], set())
            yield from map(_as_row, inside)
        unused |= {f"{path.rsplit('/', 1)[-1]}: {key}" for key in beside}


class _Members:
    """An object's members: the rows of the list among them, and the `rest`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.rows_in: str | None = None
        self.rest: dict[str, Any] = {}

    def read(self, events: Any) -> Generator[Row, None, None]:
        """The rows as they come."""
        for event, key in events:
            if event == "end_map":
                return
            event, value = next(events)
            if event == "start_array":
                yield from self._list(key, events)
            else:
                self.rest[key] = _built(event, value, events)

    def _list(self, key: str, events: Any) -> Generator[Row, None, None]:
        event, value = next(events)
        if event == "end_array":
            self.rest[key] = []
            return
        columns: Any = self.rest.get("columns") if key == "data" else None
        if is_table({"columns": columns, "data": []}):
            self.rest.pop("columns")
            yield from self._table(columns, chain([_built(event, value, events)], _elements(events)))
            return
        first = _built(event, value, events)
        if not is_row(first):
            self.rest[key] = [first, *_elements(events)]
            return
        if self.rows_in is not None:
            raise Failure(
                f"{self._path} holds several lists of rows ({self.rows_in}, {key}).",
                f"Write each into a file of its own, such as {self.rows_in}.json and {key}.json.",
                cause=Cause.DATA,
            )
        self.rows_in = key
        yield _as_row(first)
        yield from map(_as_row, _elements(events))

    def _table(self, columns: list[str], lines: Iterable[Any]) -> Iterator[Row]:
        """Rows of a table whose columns are named once, as pandas writes it with orient="split"."""
        self.rows_in = "data"
        for cells in lines:
            if isinstance(cells, list) and len(cells) == len(columns):
                yield dict(zip(columns, cells, strict=True))
            else:
                yield Unreadable(f"not the {len(columns)} cells that there are columns", json.dumps(cells))


def _elements(events: Any) -> Iterator[Any]:
    for event, value in events:
        if event == "end_array":
            return
        yield _built(event, value, events)


def _built(event: str, value: Any, events: Any) -> Any:
    """The value that begins with an event."""
    if event == "start_array":
        return list(_elements(events))
    if event != "start_map":
        return value
    found: dict[str, Any] = {}
    for inner, key in events:
        if inner == "end_map":
            break
        event, value = next(events)
        found[key] = _built(event, value, events)
    return found


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
