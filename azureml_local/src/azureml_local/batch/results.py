"""What has been scored: the rows in the order of the mini batches, and how many files have failed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from azureml_local.batch.worker_process import Scored


class Results:
    """Collects the results of mini batches that end in any order; for several threads.

    A mini batch has as many failed files as its result has elements too few, all of them without a result
    (documented of ParallelRunConfig: an element for each file that was processed). The rows wait in the file
    `kept` until all have come: a job that is interrupted, and begins again on another node, has left none.
    """

    def __init__(self, kept: Path) -> None:
        self._kept = kept
        self._kept.write_bytes(b"")
        self._lock = threading.Lock()
        self._waiting: dict[int, str] = {}  # rows, by the number of their mini batch
        self._next = 0
        self.failed = 0
        self.succeeded = 0

    def add(self, number: int, files: int, result: Scored | None) -> int:
        """Take the result of a mini batch, None where it failed; the number of its files that failed."""
        count = 0 if result is None else min(result.count, files)
        with self._lock:
            self.failed += files - count
            self.succeeded += count
            self._waiting[number] = "" if result is None else result.rows
            with self._kept.open("a", encoding="utf-8") as file:
                while self._next in self._waiting:
                    file.write(self._waiting.pop(self._next))
                    self._next += 1
        return files - count

    def deliver(self, path: Path) -> None:
        """Let the rows be that file."""
        shutil.move(self._kept, path)
