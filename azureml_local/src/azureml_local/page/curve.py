"""Metrics over training steps as lines in a coordinate system."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 760, 260  # pixels
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 12, 30
_MOST_POINTS = 400
_LABELS = 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One metric: `path` for SVG, `dots` where there are few enough values to mark each, `last` its value."""

    name: str
    path: str
    dots: tuple[Point, ...]
    last: float


@dataclass(frozen=True)
class Label:
    """A text on an axis."""

    text: str
    at: float  # pixels


@dataclass(frozen=True)
class Curve:
    """Lines and the labels of both axes."""

    lines: tuple[Line, ...]
    x_labels: tuple[Label, ...]
    y_labels: tuple[Label, ...]


def draw(series: Mapping[str, Sequence[Point]]) -> Curve | None:
    """The curve of (step, value) points by metric; None when there is not one finite value."""
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in series.items()}
    finite = {name: _thinned(sorted(points)) for name, points in finite.items() if points}
    if not finite:
        return None
    every = [point for points in finite.values() for point in points]
    x_labels = _round_values(min(x for x, _ in every), max(x for x, _ in every), whole=True)
    y_labels = _round_values(min(y for _, y in every), max(y for _, y in every))
    across = _Scale(x_labels[0], x_labels[-1], LEFT, WIDTH - RIGHT)
    down = _Scale(y_labels[0], y_labels[-1], HEIGHT - BOTTOM, TOP)
    return Curve(
        tuple(_line(name, points, across, down) for name, points in finite.items()),
        tuple(Label(f"{value:g}", across(value)) for value in x_labels),
        tuple(Label(f"{value:g}", down(value)) for value in y_labels),
    )


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def _line(name: str, points: Sequence[Point], across: _Scale, down: _Scale) -> Line:
    placed = [(across(x), down(y)) for x, y in points]
    path = "M " + " L ".join(f"{x} {y}" for x, y in placed)
    return Line(name, path, tuple(placed) if len(placed) <= 30 else (), points[-1][1])


def _thinned(points: Sequence[Point]) -> list[Point]:
    """At most so many of them, evenly, always the last."""
    stride = -(-len(points) // _MOST_POINTS)
    return [*points[:-1:stride], points[-1]]


def _round_values(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Round values, evenly apart, from one at or below `low` to one at or above `high`."""
    span = (high - low) or max(abs(high) * 0.1, 1e-6)
    power = 10.0 ** math.floor(math.log10(span / _LABELS))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= _LABELS)
    if whole:
        step = max(1.0, step)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
