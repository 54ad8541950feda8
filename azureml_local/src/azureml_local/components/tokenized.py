"""Encoded conversations on disk, as the preprocessing hands them to the training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from azureml_local.components.chat_template import Encoded


@dataclass(frozen=True)
class Tokenized:
    """Conversations end to end: `tokens` and `learn` (tokens,), `offsets` (conversations + 1,)."""

    tokens: NDArray[np.int32]
    learn: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, encoded: Iterable[Encoded], longest: int) -> Tokenized:
        """Conversations cut after `longest` tokens; those that leave nothing to learn are dropped.

        The first token counts as nothing: it has none before it to be predicted from.
        """
        kept = [(one.tokens[:longest], one.learn[:longest]) for one in encoded if any(one.learn[1:longest])]
        lengths = [len(tokens) for tokens, _ in kept]
        return cls(
            np.array([token for tokens, _ in kept for token in tokens], np.int32),
            np.array([mark for _, marks in kept for mark in marks], np.bool_),
            np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        )

    @classmethod
    def load(cls, path: Path) -> Tokenized:
        with np.load(path) as arrays:
            return cls(arrays["tokens"], arrays["learn"], arrays["offsets"])

    def save(self, path: Path) -> None:
        np.savez(path, tokens=self.tokens, learn=self.learn, offsets=self.offsets)

    def __len__(self) -> int:
        """How many conversations there are."""
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each conversation."""
        return np.diff(self.offsets)
