"""The logs of a batch job below `logs` of its artifacts (documented: how-to-troubleshoot-batch-endpoints)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

_LOGS = Path("logs")
_PROGRESS = _LOGS / "job_progress_overview.txt"
_ERRORS = _LOGS / "user" / "error.txt"


class Logs:
    """Where the driver and its workers write; for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def of_worker(self, node: int, process: int) -> Path:
        """What a worker prints."""
        return _LOGS / "user" / "stdout" / str(node) / f"process{process:03}.stdout.txt"

    def progress(self, line: str) -> None:
        """Say how far the job is, also in the step's own log."""
        stamped = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {line}\n"
        with self._lock:
            self._add(_PROGRESS, stamped)
            print(line, flush=True)

    def error(self, place: tuple[int, int], where: str, what: str) -> None:
        """Keep an error of the script: its last line for a first look, all of it beside the others.

        `place` is the node and the process on it.
        """
        with self._lock:
            self._add(_ERRORS, f"{where}: {what.splitlines()[-1]}\n")
            node, process = place
            path = _LOGS / "user" / "error" / str(node) / f"process{process:03}.txt"
            self._add(path, f"{where}\n{what}\n\n")

    def _add(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
