"""How much has been read, reported to whoever asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_STEP = 2**20  # bytes between two reports


@dataclass(frozen=True)
class Reading:
    """Where the stage is: `rows` of `wanted` rows of a split done, `bytes` read of all splits together."""

    split: str
    bytes: int
    rows: int
    wanted: int
    percent: float  # of the stage, each split an equal part of it

    def __str__(self) -> str:
        return f"{self.split}: {self.rows:,} of {self.wanted:,} rows done, {self.bytes / 1e6:,.1f} MB read"


OnProgress = Callable[[Reading], None]


def ignored(_: Reading) -> None:
    """Nobody asks."""


@dataclass
class ProgressCounter:
    """Counts bytes read and rows done, from several threads; `on_progress` is called now and then."""

    splits: int = 1
    on_progress: OnProgress = ignored
    bytes: int = 0
    _split: str = ""
    _begun: int = 0  # splits
    _rows: int = 0
    _wanted: int = 0
    _said: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, split: str) -> None:
        """What is read from here on belongs to the split."""
        self._split, self._rows, self._wanted = split, 0, 0
        self._begun += 1

    def expect(self, rows: int) -> None:
        """So many rows of the split are wanted."""
        self._wanted = rows

    def read(self, count: int) -> None:
        """So many more bytes were read."""
        with self._lock:
            self.bytes += count
            silent = self.bytes - self._said < _STEP
            if not silent:
                self._said = self.bytes
        if not silent:
            self._say()

    def done(self, rows: int) -> None:
        """So many more rows were written or rejected."""
        self._rows += rows
        self._say()

    def _say(self) -> None:
        share = min(1.0, self._rows / self._wanted) if self._wanted else 0.0
        percent = 100 * (max(0, self._begun - 1) + share) / self.splits
        self.on_progress(Reading(self._split, self.bytes, self._rows, self._wanted, percent))
