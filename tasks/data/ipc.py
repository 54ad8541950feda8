"""Rows of Arrow files, as `save_to_disk` and other programs write them, mapped into memory."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tasks.azure.failure import Cause, Failure
from tasks.data import packed, ranges
from tasks.data.choice import Rows
from tasks.data.columns import Batch, Columns, batch_of, picked
from tasks.data.progress_counter import ProgressCounter
from tasks.data.stream import copied


class ArrowRows:
    """The rows of a split's Arrow files, in the order of the files' names.

    Use as a context manager. Raises Failure for a file that is no Arrow.
    """

    def __init__(self, fs: Any, paths: Sequence[str], columns: Columns, meter: ProgressCounter) -> None:
        self._meter = meter
        self._columns = columns
        self._stack = ExitStack()
        self._files = [(path, self._local(fs, path)) for path in paths]
        self.unused = columns.unused({name for path, file in self._files for name in _names(path, file)})

    def __enter__(self) -> ArrowRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def total(self) -> int:
        """How many rows there are; what is mapped is not read for it."""
        return sum(batch.num_rows for _, file in self._files for batch in self._batches(file))

    def batches(self, rows: Rows) -> Iterator[Batch]:
        """The wanted rows, in order."""
        base = 0
        for _, file in self._files:
            for batch in self._batches(file):
                low = bisect.bisect_left(rows, base)
                high = bisect.bisect_left(rows, base + batch.num_rows)
                positions = rows[low:high]
                if len(positions):
                    names = self._columns.wanted(batch.schema.names)
                    self._meter.read(batch.nbytes)
                    first = positions[0] - base
                    found = batch_of(batch.select(names).slice(first, positions[-1] - base - first + 1))
                    yield positions, picked(found, [position - base - first for position in positions])
                base += batch.num_rows

    def _local(self, fs: Any, path: str) -> Path:
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="finetune-data-")))
        is_local = ranges.is_local(fs)
        stored = Path(path) if is_local else copied(fs, path, folder / "stored", self._meter.read)
        return packed.whole(stored, path, folder / "data.arrow")

    def _batches(self, file: Path) -> Iterator[Any]:
        reader = _reader(str(file), file)
        if hasattr(reader, "num_record_batches"):
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
        else:
            yield from reader


def _names(path: str, file: Path) -> list[str]:
    names: list[str] = _reader(path, file).schema.names
    return names


def _reader(path: str, file: Path) -> Any:
    import pyarrow
    from pyarrow import ipc

    try:
        mapped = pyarrow.memory_map(str(file))
        try:
            return ipc.open_file(mapped)
        except pyarrow.ArrowInvalid:
            return ipc.open_stream(pyarrow.memory_map(str(file)))
    except (pyarrow.ArrowException, OSError) as error:
        raise Failure(
            f"{path} is no readable Arrow file: {' '.join(str(error).split())[:200]}.",
            "Download or write it again.",
            cause=Cause.DATA,
        ) from error
