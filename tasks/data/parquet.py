"""Rows of parquet files, local or remote: only the row groups, and in them the columns, that are needed."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from tasks.azure.failure import Cause, Failure
from tasks.data import packed, ranges
from tasks.data.choice import Rows
from tasks.data.columns import Batch, Columns, batch_of, is_read_by_polars, plain
from tasks.data.progress_counter import ProgressCounter
from tasks.data.ranges import Range, RemoteFile
from tasks.data.stream import copied

_FOOTER = 64 * 1024  # bytes: holds the footer of most files, so that one request reads it
_AHEAD = 3  # spans being fetched while one is decoded
_SPAN = 24 * 2**20  # bytes decoded at once, uncompressed: what bounds the memory
_BATCH = 4096  # rows, where a single row group is larger than a span


class ParquetRows:
    """The rows of a split's parquet files, in the order of the files' names.

    Use as a context manager. Raises Failure for a file that is no parquet.
    """

    def __init__(self, fs: Any, paths: Sequence[str], columns: Columns, meter: ProgressCounter) -> None:
        self._meter = meter
        self._columns = columns
        with ExitStack() as stack:  # what was opened is closed again where a file is none
            self._pool = stack.enter_context(ranges.pool())
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
            self._files = self._opened(fs, paths, folder)
            self._stack = stack.pop_all()
        self.unused = columns.unused({name for file in self._files for name in file.names})

    def __enter__(self) -> ParquetRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def total(self) -> int:
        return sum(file.metadata.num_rows for file in self._files)

    def sizes(self, rows: Rows) -> tuple[int, int]:
        """The bytes to fetch for the wanted rows, and those of the rows alone once unpacked, as the footers
        say it."""
        fetched = unpacked = 0
        for span in self._spans(rows):
            for group in span.groups:
                first = span.base + group.first
                low, high = (bisect.bisect_left(span.wanted, at) for at in (first, first + group.rows))
                fetched += sum(last - begin for begin, last in span.file.ranges(group, span.columns))
                unpacked += span.file.unpacked(group, span.columns) * (high - low) // max(group.rows, 1)
        return fetched, unpacked

    def batches(self, rows: Rows) -> Iterator[Batch]:
        """The wanted rows, in order; what comes next is fetched, and one batch decoded, meanwhile."""
        batches = self._decoded(rows)
        coming = self._pool.submit(next, batches, None)
        while batch := coming.result():
            coming = self._pool.submit(next, batches, None)
            yield batch

    def _decoded(self, rows: Rows) -> Iterator[Batch]:
        spans = self._spans(rows)
        coming = deque(self._pool.submit(span.load) for span in islice(spans, _AHEAD))
        while coming:
            span = coming.popleft().result()
            coming.extend(self._pool.submit(span.load) for span in islice(spans, 1))
            yield from span.batches()

    def _opened(self, fs: Any, paths: Sequence[str], folder: Path) -> list[_File]:
        copies = (folder / f"{number}.parquet" for number in range(len(paths)))
        if ranges.is_local(fs):
            return [_local(Path(path), path, copy) for path, copy in zip(paths, copies, strict=False)]
        return list(self._pool.map(partial(_remote, fs, self._meter), paths, copies))

    def _spans(self, rows: Rows) -> Iterator[_Span]:
        """The row groups in which wanted rows lie, neighbours together as far as memory allows."""
        base = 0  # rows in the files before
        for file in self._files:
            span: _Span | None = None
            columns = self._columns.wanted(file.names)
            for group in file.groups():
                low = bisect.bisect_left(rows, base + group.first)
                high = bisect.bisect_left(rows, base + group.first + group.rows)
                if low == high:
                    continue
                wanted = rows[low:high]
                if span and span.groups[-1].number + 1 == group.number and span.size + group.size <= _SPAN:
                    span.groups.append(group)
                    span.wanted.extend(wanted)
                    continue
                if span:
                    yield span
                span = _Span(file, base, columns, self._meter, [group], list(wanted))
            if span:
                yield span
            base += file.metadata.num_rows


@dataclass(frozen=True)
class _Group:
    """A row group: its number in the file, its first row there, its rows and its size uncompressed."""

    number: int
    first: int
    rows: int
    size: int


@dataclass
class _File:
    """A parquet file whose footer has been read. Of a remote one, `local` has only what was fetched.

    `copied` is a remote one that came whole, and has been counted so.
    """

    path: str
    metadata: Any
    local: Path
    remote: RemoteFile | None = None
    copied: bool = False

    def groups(self) -> Iterator[_Group]:
        first = 0
        for number in range(self.metadata.num_row_groups):
            group = self.metadata.row_group(number)
            yield _Group(number, first, group.num_rows, group.total_byte_size)
            first += group.num_rows

    @cached_property
    def schema(self) -> Any:
        return self.metadata.schema.to_arrow_schema()

    @property
    def names(self) -> list[str]:
        names: list[str] = self.schema.names
        return names

    def is_read_by_polars(self, columns: Sequence[str]) -> bool:
        import pyarrow

        return is_read_by_polars(pyarrow.schema([self.schema.field(column) for column in columns]))

    def ranges(self, group: _Group, columns: Sequence[str]) -> Iterator[Range]:
        """Where the columns of a row group lie in the file."""
        for chunk in self._chunks(group, columns):
            first = min(filter(None, (chunk.dictionary_page_offset, chunk.data_page_offset)))
            yield first, first + chunk.total_compressed_size

    def unpacked(self, group: _Group, columns: Sequence[str]) -> int:
        """The bytes of the columns of a row group once they are unpacked."""
        return sum(int(chunk.total_uncompressed_size) for chunk in self._chunks(group, columns))

    def _chunks(self, group: _Group, columns: Sequence[str]) -> Iterator[Any]:
        found = self.metadata.row_group(group.number)
        for index in range(found.num_columns):
            chunk = found.column(index)
            if chunk.path_in_schema.split(".")[0] in columns:
                yield chunk


@dataclass
class _Span:
    """Neighbouring row groups of a file and the positions of the wanted rows in them."""

    file: _File
    base: int  # position of the file's first row
    columns: list[str]
    meter: ProgressCounter
    groups: list[_Group]
    wanted: list[int]

    @property
    def size(self) -> int:
        return sum(group.size for group in self.groups)

    def load(self) -> _Span:
        """Fetch what is needed; done ahead of time, in another thread."""
        where = ranges.merged(
            place for group in self.groups for place in self.file.ranges(group, self.columns)
        )
        if self.file.remote:
            self.file.remote.fetch(where, self.file.local)
        elif not self.file.copied:
            self.meter.read(sum(last - first for first, last in where))
        return self

    def batches(self) -> Iterator[Batch]:
        import pyarrow.lib

        try:
            if self.size <= _SPAN and self.file.is_read_by_polars(self.columns):
                yield self._picked(self.base + self.groups[0].first, self._frame())
                return
            start = self.base + self.groups[0].first
            for frame in self._pieces():
                yield self._picked(start, frame)
                start += len(frame)
        except (pyarrow.lib.ArrowException, pl.exceptions.PolarsError, OSError) as error:
            raise _broken(self.file.path, error) from error

    def _frame(self) -> pl.DataFrame:
        count = sum(group.rows for group in self.groups)
        scan = pl.scan_parquet(self.file.local, glob=False).select(self.columns)
        return plain(scan.slice(self.groups[0].first, count).collect())

    def _pieces(self) -> Iterator[pl.DataFrame | list[dict[str, Any]]]:
        """A large row group page by page, or types, which polars cannot read; up to the last wanted row."""
        import pyarrow.parquet

        reader = pyarrow.parquet.ParquetFile(self.file.local, metadata=self.file.metadata)
        left = self.wanted[-1] + 1 - self.base - self.groups[0].first
        for group in self.groups:  # one by one: pyarrow cannot join some types across groups
            for batch in reader.iter_batches(_BATCH, row_groups=[group.number], columns=self.columns):
                yield batch_of(batch)
                left -= batch.num_rows
                if left <= 0:
                    return

    def _picked(self, start: int, frame: pl.DataFrame | list[dict[str, Any]]) -> Batch:
        """Of rows that begin at the position `start`, those that are wanted."""
        low = bisect.bisect_left(self.wanted, start)
        high = bisect.bisect_left(self.wanted, start + len(frame))
        positions = self.wanted[low:high]
        if isinstance(frame, list):
            return positions, [frame[position - start] for position in positions]
        if not positions or positions[-1] - positions[0] + 1 == len(positions):
            return positions, frame.slice(positions[0] - start if positions else 0, len(positions))
        return positions, frame[[position - start for position in positions]]


def _local(stored: Path, path: str, copy: Path) -> _File:
    import pyarrow.parquet

    try:
        file = packed.whole(stored, path, copy)
        return _File(path, pyarrow.parquet.read_metadata(file), file, copied=stored != Path(path))
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _remote(fs: Any, meter: ProgressCounter, path: str, local: Path) -> _File:
    """A file with holes on disk, to be filled as ranges come; the whole of it where there are no ranges."""
    import pyarrow.parquet

    try:
        remote = RemoteFile(fs, path, meter.read)
        tail = remote.tail(_FOOTER)
        if tail is None or remote.size is None or not tail.endswith(b"PAR1"):  # no ranges, or compressed
            stored = copied(fs, path, local.with_suffix(".stored"), meter.read)
            return _local(stored, path, local)
        first = remote.size - len(tail)
        with local.open("wb") as file:
            file.truncate(remote.size)
            file.seek(first)
            file.write(tail)
        if not first:  # the tail is all of it, whether or not there are ranges
            return _File(path, pyarrow.parquet.read_metadata(local), local, copied=True)
        footer = int.from_bytes(tail[-8:-4], "little") + 8
        if len(tail) < footer <= remote.size:
            remote.fetch([(remote.size - footer, first)], local)
        return _File(path, pyarrow.parquet.read_metadata(local), local, remote)
    except (pyarrow.lib.ArrowException, OSError) as error:
        raise _broken(path, error) from error


def _broken(path: str, error: BaseException) -> Failure:
    return Failure(
        f"{path} is no readable parquet file: {' '.join(str(error).split())[:200]}.",
        "Download or write it again.",
        cause=Cause.DATA,
    )
