"""Confidence intervals by bootstrap: the conversations are drawn again and again, with replacement."""

from __future__ import annotations

import random
from collections.abc import Sequence
from statistics import fmean

from tasks.evaluation.result import Interval

_DRAWS = 2000
_OUTSIDE = 0.025  # on each side of the 95 %


def bootstrap(values: Sequence[float], seed: int) -> Interval:
    """The interval of the mean of values, one a conversation; of a single one it is all that is known.

    Percentiles of the means of samples of the same size (Efron and Tibshirani, An Introduction to the
    Bootstrap, chapter 13). Of a handful of conversations it is too narrow, which no method mends.
    """
    if not values:
        raise ValueError("no conversation to draw")
    draw = random.Random(seed)
    means = sorted(fmean(draw.choices(values, k=len(values))) for _ in range(_DRAWS))
    return Interval(
        mean=fmean(values),
        low=means[int(_OUTSIDE * _DRAWS)],
        high=means[int((1 - _OUTSIDE) * _DRAWS) - 1],
        conversations=len(values),
    )
