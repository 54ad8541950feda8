"""Bytes of a remote file: only the ranges asked for, several at a time, each part tried again by itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

from tasks.failure import Failure

PART = 8 * 2**20  # bytes: what is lost when a connection breaks
_PARALLEL = 6
ATTEMPTS = 5
DELAY = 0.5  # seconds before the second attempt, twice that before the third, and so on

logger = logging.getLogger(__name__)

Range = tuple[int, int]  # first byte, one past the last


class RemoteFile:
    """A file that a server hands out, by ranges where it can.

    `count` hears of every byte that came. Raises Failure when a part does not come in several attempts.
    """

    def __init__(self, fs: Any, path: str, count: Callable[[int], None]) -> None:
        self._fs = fs
        self._path = path
        self._count = count
        info = fs.info(path)
        self.size: int | None = info.get("size")
        # HTTP says whether it has ranges; other file systems always do.
        self.has_ranges: bool = self.size is not None and info.get("partial", True) is not False

    def fetch(self, where: Iterable[Range], to: Path) -> None:
        """Put the bytes of the ranges at their places in `to`, several parts of them at a time."""
        parts = [part for place in where for part in _parts(place)]
        with to.open("r+b", buffering=0) as file:
            if len(parts) == 1:
                self._attempted(partial(self._part, parts[0], file.fileno()))
                return
            with ThreadPoolExecutor(min(_PARALLEL, len(parts) or 1)) as threads:
                fetched = [
                    threads.submit(self._attempted, partial(self._part, part, file.fileno()))
                    for part in parts
                ]
                for part in fetched:
                    part.result()

    def copy(self, to: Path) -> Path:
        """The whole file, streamed to `to`: for servers that know no ranges."""
        self._attempted(lambda: self._streamed(to))
        return to

    def _part(self, where: Range, file: int) -> None:
        content: bytes = self._fs.cat_file(self._path, start=where[0], end=where[1])
        self._count(len(content))
        if len(content) != where[1] - where[0]:
            raise EOFError(f"{len(content):,} bytes came instead of {where[1] - where[0]:,}")
        os.pwrite(file, content, where[0])

    def _streamed(self, to: Path) -> None:
        size = 0
        with self._fs.open(self._path, "rb", cache_type="none") as source, to.open("wb") as target:
            while chunk := source.read(2**20):
                size += target.write(chunk)
                self._count(len(chunk))
        if self.size is not None and size != self.size:
            raise EOFError(f"{size:,} bytes came instead of {self.size:,}")

    def _attempted(self, work: Callable[[], None]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                work()
                return
            except (FileNotFoundError, PermissionError):
                raise
            except Exception as error:  # noqa: BLE001 - each file system has its own for a broken connection
                reason = " ".join(str(error).split()) or type(error).__name__
                logger.info("%s: %s (attempt %d of %d)", self._path, reason, attempt, ATTEMPTS)
            if attempt < ATTEMPTS:
                sleep(DELAY * 2 ** (attempt - 1))
        raise Failure(
            f"{self._path} breaks off: {reason[:200]}.",
            f"It was tried {ATTEMPTS} times; check the connection and run again.",
            retryable=True,
        )


def pool() -> ThreadPoolExecutor:
    """Threads that wait for servers."""
    return ThreadPoolExecutor(_PARALLEL, thread_name_prefix="ranges")


def merged(ranges: Iterable[Range], gap: int = 64 * 1024) -> list[Range]:
    """Ranges in order, those closer than `gap` bytes joined: a request costs more than a few bytes."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first - joined[-1][1] <= gap:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return joined


def _parts(where: Range) -> Iterable[Range]:
    for first in range(where[0], where[1], PART):
        yield first, min(first + PART, where[1])
