"""Which rows of a split are taken: the first, or a sample that the seed draws; reproducible either way."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tasks.azure.failure import Cause, Failure
from tasks.data.section import Data, Split

Rows = Sequence[int]  # positions in the split, ascending


def choose(data: Data, split: Split, total: int) -> Rows:
    """The positions to take of a split of `total` rows; raises Failure when there are none."""
    if not total:
        raise Failure(
            f"The split {split.name} has no rows.",
            "Name another split in data.train or data.test.",
            cause=Cause.DATA,
        )
    count = split.count(total)
    if data.rows == "first" or count == total:
        return range(count)
    return sorted(random.Random(f"{data.seed}/{split.name}").sample(range(total), count))


def described(data: Data, split: Split, rows: Rows, total: int) -> str:
    """The choice in words, for the manifest and the card."""
    if len(rows) == total:
        return f"all {total:,} rows"
    if data.rows == "first":
        return f"the first {len(rows):,} of {total:,} rows ({split.take})"
    return f"{len(rows):,} of {total:,} rows ({split.take}), drawn with the seed {data.seed}"
