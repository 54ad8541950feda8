"""How much has been read, said to whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

_STEP = 2**20  # bytes between two words on progress


@dataclass
class Meter:
    """Counts bytes read and rows done, from several threads; `watch` hears of it now and then."""

    watch: Callable[[int, int], None] = lambda _bytes, _rows: None
    bytes: int = 0
    rows: int = 0
    _said: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, count: int) -> None:
        with self._lock:
            self.bytes += count
            silent = self.bytes - self._said < _STEP
            if not silent:
                self._said = self.bytes
        if not silent:
            self.watch(self.bytes, self.rows)

    def done(self, rows: int) -> None:
        with self._lock:
            self.rows += rows
        self.watch(self.bytes, self.rows)
