"""Rows of parquet files, local or remote: only the row groups, and in them the columns, that are needed."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.data import ranges
from tasks.data.choice import Rows
from tasks.data.meter import Meter
from tasks.data.ranges import Patchwork, RemoteFile
from tasks.failure import Failure

_FOOTER = 64 * 1024  # bytes: holds the footer of most files, so that one request reads it
_AHEAD = 3  # row groups being fetched while one is decoded
_BATCH = 4096  # rows decoded at once, which bounds memory where a row group is the whole file


class ParquetRows:
    """The rows of a split's parquet files, in the order of the files' names.

    Use as a context manager. Raises Failure for a file that is no parquet, or lacks the columns.
    """

    def __init__(self, fs: Any, paths: Sequence[str], columns: Sequence[str], meter: Meter) -> None:
        self._stack = ExitStack()
        self._pool: ThreadPoolExecutor = self._stack.enter_context(ranges.pool())
        self._meter = meter
        self._columns = columns
        self._files = [_open(fs, path, self._pool, self._stack, meter) for path in paths]

    def __enter__(self) -> ParquetRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def total(self) -> int:
        return sum(file.metadata.num_rows for file in self._files)

    def batches(self, rows: Rows) -> Iterator[tuple[list[int], Any]]:
        """(positions, arrow table) of the wanted rows, in order."""
        groups = iter(list(self._groups(rows)))
        coming = deque(self._pool.submit(group.load) for group in _next(groups, _AHEAD))
        while coming:
            group = coming.popleft().result()
            coming.extend(self._pool.submit(group.load) for group in _next(groups, 1))
            yield from group.batches(rows)

    def _groups(self, rows: Rows) -> Iterator[_Group]:
        """The row groups in which a wanted row lies."""
        first = 0
        for file in self._files:
            for number in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(number).num_rows
                low, high = bisect.bisect_left(rows, first), bisect.bisect_left(rows, first + count)
                if low < high:
                    yield _Group(file, number, first, low, high, file.columns(self._columns), self._meter)
                first += count


@dataclass
class _File:
    """A parquet file whose footer has been read."""

    path: str
    metadata: Any
    local: Path | None
    remote: RemoteFile | None
    pool: ThreadPoolExecutor

    def columns(self, wanted: Sequence[str]) -> list[str]:
        there = self.metadata.schema.to_arrow_schema().names
        return [column for column in wanted if column in there]

    def ranges(self, number: int, columns: Sequence[str]) -> list[ranges.Range]:
        """Where the columns of a row group lie in the file."""
        group = self.metadata.row_group(number)
        found = []
        for index in range(group.num_columns):
            chunk = group.column(index)
            if chunk.path_in_schema.split(".")[0] in columns:
                first = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
                found.append((first, first + chunk.total_compressed_size))
        return ranges.merged(found)


@dataclass
class _Group:
    """One row group and which of the wanted rows lie in it: rows[low:high] of the choice."""

    file: _File
    number: int
    first: int
    low: int
    high: int
    columns: list[str]
    meter: Meter
    reader: Any = None

    def load(self) -> _Group:
        """Fetch what is needed; done ahead of time, in another thread."""
        import pyarrow.parquet

        where = self.file.ranges(self.number, self.columns)
        if self.file.remote is None:
            self.meter.read(sum(last - first for first, last in where))
            self.reader = pyarrow.parquet.ParquetFile(self.file.local, metadata=self.file.metadata)
            return self
        assert self.file.remote.size is not None
        patchwork = Patchwork(self.file.remote.size)
        # In this thread: the pool's threads all load groups and must not wait for each other.
        for place in where:
            patchwork.lay(place, self.file.remote.read(place))
        self.reader = pyarrow.parquet.ParquetFile(patchwork, metadata=self.file.metadata)
        return self

    def batches(self, rows: Rows) -> Iterator[tuple[list[int], Any]]:
        import pyarrow
        import pyarrow.lib

        wanted = rows[self.low : self.high]
        start = self.first
        try:
            for batch in self.reader.iter_batches(
                _BATCH, row_groups=[self.number], columns=self.columns, use_threads=True
            ):
                low = bisect.bisect_left(wanted, start)
                high = bisect.bisect_left(wanted, start + batch.num_rows)
                positions = list(wanted[low:high])
                table = pyarrow.Table.from_batches([batch])
                if positions:
                    yield positions, _picked(table, [position - start for position in positions])
                start += batch.num_rows
                if high == len(wanted):
                    return
        except (pyarrow.lib.ArrowException, OSError, EOFError) as error:
            raise _broken(self.file.path, error) from error
        finally:
            self.reader = None  # the memory is the next group's


def _picked(table: Any, places: list[int]) -> Any:
    if places[-1] - places[0] + 1 == len(places):
        return table.slice(places[0], len(places))
    return table.take(places)


def _open(fs: Any, path: str, pool: ThreadPoolExecutor, stack: ExitStack, meter: Meter) -> _File:
    import pyarrow.lib
    import pyarrow.parquet

    try:
        if "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol):
            return _File(path, pyarrow.parquet.read_metadata(path), Path(path), None, pool)
        remote = RemoteFile(fs, path, meter.read)
        if remote.has_ranges:
            return _File(path, _footer(remote), None, remote, pool)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
        copied = remote.copy(folder / "whole.parquet")
        return _File(path, pyarrow.parquet.read_metadata(copied), copied, None, pool)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _footer(remote: RemoteFile) -> Any:
    import pyarrow.parquet

    assert remote.size is not None
    patchwork = Patchwork(remote.size)
    where = (max(0, remote.size - _FOOTER), remote.size)
    tail = remote.read(where)
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail):
        where = (max(0, remote.size - length), remote.size)
        tail = remote.read(where)
    patchwork.lay(where, tail)
    return pyarrow.parquet.read_metadata(patchwork)


def _next(groups: Iterator[_Group], count: int) -> Iterator[_Group]:
    for _ in range(count):
        group = next(groups, None)
        if group is None:
            return
        yield group


def _broken(path: str, error: BaseException) -> Failure:
    return Failure(
        f"{path} is no readable parquet file: {' '.join(str(error).split())[:200]}.",
        "Download or write it again.",
    )
