"""Bytes of a remote file: only the ranges asked for, several at a time, each part tried again by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tasks.data.attempts import attempted

PART = 8 * 2**20  # bytes: what is lost when a connection breaks
_PARALLEL = 6
_GAP = 64 * 1024  # bytes

Range = tuple[int, int]  # first byte, one past the last


class RemoteFile:
    """A file that a server hands out, by ranges where it can.

    `count` hears of every byte that came. Raises Failure when a part does not come in several attempts.
    """

    def __init__(self, fs: Any, path: str, count: Callable[[int], None]) -> None:
        self._fs = fs
        self._path = path
        self._count = count
        self._info = attempted(path, lambda: fs.info(path))
        self.size: int | None = self._info.get("size")

    def tail(self, length: int) -> bytes | None:
        """The last bytes; None where the server has no ranges, of which most say nothing beforehand."""
        if self.size is None or self._info.get("partial") is False:
            return None
        where = max(0, self.size - length), self.size
        return attempted(self._path, lambda: self._read_if_ranged(where))

    def fetch(self, where: Iterable[Range], to: Path) -> None:
        """Put the bytes of the ranges at their places in `to`, several parts of them at a time."""
        parts = [part for place in where for part in _parts(place)]
        with to.open("r+b", buffering=0) as file:
            if len(parts) == 1:
                self._fetch(parts[0], file.fileno())
                return
            with ThreadPoolExecutor(min(_PARALLEL, len(parts) or 1)) as threads:
                for fetched in [threads.submit(self._fetch, part, file.fileno()) for part in parts]:
                    fetched.result()

    def _fetch(self, where: Range, file: int) -> None:
        os.pwrite(file, attempted(self._path, partial(self._read, where)), where[0])

    def _read_if_ranged(self, where: Range) -> bytes | None:
        try:
            return self._read(where)
        except ValueError:  # what fsspec says to an answer that is the whole file
            return None

    def _read(self, where: Range) -> bytes:
        first, last = where
        # Without a cache, which would read ahead, and with the size, for which HTTP would ask each time.
        with self._fs.open(self._path, "rb", cache_type="none", size=self.size) as file:
            file.seek(first)
            content: bytes = file.read(last - first)
        self._count(len(content))
        if len(content) != last - first:
            raise EOFError(f"{len(content):,} bytes came instead of {last - first:,}")
        return content


def is_local(fs: Any) -> bool:
    """Whether the file system's files are files of this machine."""
    return "file" in ([fs.protocol] if isinstance(fs.protocol, str) else fs.protocol)


def pool() -> ThreadPoolExecutor:
    """Threads that wait for servers."""
    return ThreadPoolExecutor(_PARALLEL, thread_name_prefix="ranges")


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, joined where the gap is small beside them: a request costs more than a few bytes."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first - joined[-1][1] <= min(_GAP, (joined[-1][1] - joined[-1][0]) // 20):
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _parts(where: Range) -> Iterable[Range]:
    for first in range(where[0], where[1], PART):
        yield first, min(first + PART, where[1])
