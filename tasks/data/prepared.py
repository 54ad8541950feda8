"""What the data stage leaves behind: two JSON Lines files and what is known of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.data.window import Window


class Lengths(BaseModel):
    """Totals and histograms of a split; `tokens` are an estimate but in the `counted` rows."""

    model_config = ConfigDict(frozen=True)

    tokens: int = 0
    counted: int = 0  # rows whose tokens a tokenizer counted, and not the length of their text
    longest: int = 0  # tokens
    turns: dict[int, int] = {}  # messages in a conversation -> conversations
    buckets: dict[int, int] = {}  # tokens, rounded up to a power of the root of two -> conversations


class PreparedSplit(BaseModel):
    """One split as a file in the chat schema: prompt, prompt_id, messages."""

    model_config = ConfigDict(frozen=True)

    name: str
    path: Path
    rows: int
    bytes: int
    sha256: str
    quarantined: int = 0
    findings: dict[str, int] = {}  # reason -> rows
    quarantine: Path | None = None  # the rows left out, each with its reason
    taken: str = ""  # which rows of the source
    lengths: Lengths = Lengths()

    @property
    def estimated(self) -> bool:
        """Whether the tokens of some rows are an estimate."""
        return self.lengths.counted < self.rows


class PreparedData(BaseModel):
    """Both splits; `sha256` stands for their contents and is part of the run's fingerprint."""

    model_config = ConfigDict(frozen=True)

    source: str
    revision: str | None
    seed: int | None = None  # that drew the rows; None where they are the first
    train: PreparedSplit
    test: PreparedSplit
    directory: Path
    window: Window = Window()  # that rows must fit into
    bytes_read: int = 0
    reused: bool = False  # nothing was read: the same request was prepared before

    @property
    def sha256(self) -> str:
        return hashlib.sha256(f"{self.train.sha256}{self.test.sha256}".encode()).hexdigest()
