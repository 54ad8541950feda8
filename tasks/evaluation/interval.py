"""Confidence intervals: of conversations by bootstrap, of repeated trainings by Student's distribution."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev

from tasks.evaluation.result import Interval

_DRAWS = 2000
_OUTSIDE = 0.025  # on each side of the 95 %
_NORMAL = 1.959964  # the normal distribution's quantile of 97.5 %
# Student's by degrees of freedom from one on; for more, the expansion below is right to three digits.
_STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


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
        count=len(values),
    )


def of_repeated(values: Sequence[float]) -> Interval:
    """The interval of the mean of the same training repeated, taken to be spread normally; of two or more."""
    count = len(values)
    if count < 2:
        raise ValueError("one value has no spread")
    mean, half = fmean(values), _student(count - 1) * stdev(values) / sqrt(count)
    return Interval(mean=mean, low=mean - half, high=mean + half, count=count)


def _student(degrees: int) -> float:
    """The quantile of 97.5 % of Student's distribution (Abramowitz and Stegun, 26.7.5, from ten on)."""
    if degrees <= len(_STUDENT):
        return _STUDENT[degrees - 1]
    z = _NORMAL
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
