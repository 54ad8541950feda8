"""What the data stage leaves behind: two JSON Lines files and what is known of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks.core.reuse import Reused
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
    cut_from: str | None = None  # the source's split, of which this is a part
    path: Path
    rows: int
    bytes: int
    sha256: str
    quarantined: int = 0  # rows rejected
    findings: dict[str, int] = {}  # reason -> rows
    quarantine: Path | None = None  # the rows left out, each with its reason
    warnings: dict[str, int] = {}  # what checks only warn of -> rows that were kept
    taken: str = ""  # which rows of the source
    recognised: str = ""  # how its rows hold conversations
    unused: dict[str, int | None] = {}  # columns and keys that are left out -> rows; None where nobody looked
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
    validation: PreparedSplit | None = None  # None leaves it to the component to cut one
    test: PreparedSplit
    unused_splits: tuple[str, ...] = ()  # of the source
    unused_files: tuple[str, ...] = ()  # that lie beside the data
    directory: Path
    window: Window = Window()  # that rows must fit into
    bytes_read: int = 0
    reused: Reused | None = None  # nothing was read: the same request was prepared before

    @property
    def sha256(self) -> str:
        return hashlib.sha256("".join(split.sha256 for split in self.splits).encode()).hexdigest()

    @property
    def splits(self) -> tuple[PreparedSplit, ...]:
        """Training, validation where there is one, and test."""
        return (self.train, *([self.validation] if self.validation else []), self.test)
