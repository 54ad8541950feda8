"""The rows of files in any format, with one face: how many there are, and those wanted in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

from tasks.data import shape
from tasks.data.choice import Rows
from tasks.data.layout import Format
from tasks.data.progress_counter import ProgressCounter
from tasks.data.section import Data
from tasks.data.source import Source


class Reader(Protocol):
    """A context manager; `unused` names the columns and parts of documents that are not read."""

    unused: set[str]

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def total(self) -> int: ...

    def batches(self, rows: Rows) -> Iterator[tuple[Sequence[int], Any]]:
        """Positions with a polars frame, or a list of rows, in order."""
        ...


def opened(data: Data, source: Source, files: Sequence[str], counter: ProgressCounter) -> Reader:
    """A reader of the files, which are of one family of formats."""
    from tasks.data.columns import Columns

    columns = Columns(lambda there: shape.wanted(there, data))
    kind = source.formats[files[0]]
    if kind is Format.PARQUET:
        from tasks.data.parquet import ParquetRows

        return ParquetRows(source.fs, files, columns, counter)
    if kind is Format.ARROW:
        from tasks.data.ipc import ArrowRows

        return ArrowRows(source.fs, files, columns, counter)
    from tasks.data.text import TextRows

    return TextRows(source, files, counter)
