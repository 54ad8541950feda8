"""A figure of several rounds: the median, and between what it lay."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], digits: int | None = None) -> str:
    """`median (least to most)`; a single value alone. Three significant digits where none are asked for."""

    def shown(value: float) -> str:
        places = digits if digits is not None else 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
        return f"{value:.{places}f}"

    if len(values) == 1:
        return shown(values[0])
    return f"{shown(median(values))} ({shown(min(values))} to {shown(max(values))})"
