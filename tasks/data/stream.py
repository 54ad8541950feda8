"""A file from its beginning on: where the connection breaks, reading goes on from that place."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tasks.data.attempts import attempted
from tasks.data.ranges import RemoteFile, is_local

_BLOCK = 4 * 2**20  # bytes of a request, where there are ranges
_CHUNK = 2**20  # bytes read at once


class Stream(io.RawIOBase):
    """The bytes of a file anywhere. `count` hears of each that came, also of those that come twice.

    Raises Failure when a connection breaks again and again.
    """

    def __init__(self, fs: Any, path: str, count: Callable[[int], None]) -> None:
        self._fs = fs
        self._path = path
        self._count = count
        self._position = 0
        self._file: Any = None
        self._local = is_local(fs)
        if self._local:
            return
        remote = RemoteFile(fs, path, count)
        self._size = remote.size
        self._has_ranges = remote.tail(1) is not None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        content = (
            self._read(wanted) if self._local else attempted(self._path, partial(self._taken_up, wanted))
        )
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def close(self) -> None:
        self._drop()
        super().close()

    def _taken_up(self, wanted: int) -> bytes:
        """The next bytes of a remote file, from a new connection where the one before broke."""
        try:
            content = self._read(wanted)
            if not content and self._size is not None and self._position < self._size:
                raise EOFError(f"{self._position:,} bytes came instead of {self._size:,}")
        except Exception:
            self._drop()
            raise
        return content

    def _read(self, wanted: int) -> bytes:
        if self._file is None:
            self._open()
        content: bytes = self._file.read(wanted)
        self._count(len(content))
        return content

    def _open(self) -> None:
        """Open the file at the position reached; without ranges, what comes before must come again."""
        if self._local:
            self._file = self._fs.open(self._path, "rb")
        elif self._has_ranges:
            options = {"block_size": _BLOCK, "cache_type": "readahead", "size": self._size}
            self._file = self._fs.open(self._path, "rb", **options)
            self._file.seek(self._position)
        else:
            self._file = self._fs.open(self._path, "rb", block_size=0)
            left = self._position
            while left and (skipped := len(self._file.read(min(left, _CHUNK)))):
                self._count(skipped)
                left -= skipped

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def buffered(fs: Any, path: str, count: Callable[[int], None]) -> io.BufferedReader:
    """The stream with a buffer, as parsers want it."""
    return io.BufferedReader(Stream(fs, path, count), _CHUNK)


def copied(fs: Any, path: str, to: Path, count: Callable[[int], None]) -> Path:
    """The whole file, for what cannot be read as a stream."""
    with buffered(fs, path, count) as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, _CHUNK)
    return to
