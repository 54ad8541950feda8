"""Which rows are for training, validation and test, when not all three are given (Azure's rule)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Splits(Generic[Row]):
    train: Sequence[Row]
    validation: Sequence[Row]
    test: Sequence[Row]


def divide(train: Sequence[Row], validation: Sequence[Row] | None, test: Sequence[Row] | None) -> Splits[Row]:
    """Take what is missing from the end of `train`.

    Without validation it is the last 20 %, without test the last 20 %, and without both the last 20 % are
    shared between them. Nothing is shuffled.
    """
    most = int(len(train) * 0.8)
    if validation is not None and test is not None:
        return Splits(train, validation, test)
    if test is not None:
        return Splits(train[:most], train[most:], test)
    if validation is not None:
        return Splits(train[:most], validation, train[most:])
    half = most + (len(train) - most) // 2
    return Splits(train[:most], train[most:half], train[half:])
