"""The state of a training run on disk, so that a killed one goes on where it was."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import torch

_FILE = "checkpoint.pt"
_SHARE = 0.05  # of the time, at most, goes into checkpoints


class Checkpoints:
    """Keeps the newest state in a directory; without a directory nothing is kept.

    `fingerprint` tells runs apart: the state of one with other data or parameters is not taken up.
    """

    def __init__(self, directory: Path | None, fingerprint: str) -> None:
        self._path = directory / _FILE if directory else None
        self._fingerprint = fingerprint
        self._due = 0.0

    def load(self) -> dict[str, Any] | None:
        """The newest state of this very run."""
        if self._path is None or not self._path.is_file():
            return None
        found: dict[str, Any] = torch.load(self._path, map_location="cpu", weights_only=True)
        return found["state"] if found["fingerprint"] == self._fingerprint else None

    def is_due(self) -> bool:
        """Whether enough was computed since the last one to be worth the time that one takes."""
        return self._path is not None and time.monotonic() >= self._due

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state kept, in one instant."""
        if self._path is None:
            return
        started = time.monotonic()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self._path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            torch.save({"fingerprint": self._fingerprint, "state": state}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        self._due = time.monotonic() + (time.monotonic() - started) / _SHARE

    def clear(self) -> None:
        """Forget the state: the run has come to its end."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
