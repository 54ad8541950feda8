"""Figures as people read them: durations, dollars, counts and losses in a few characters."""

from __future__ import annotations

NONE = "–"


def duration(seconds: float | None) -> str:
    """Such as 0.4 s, 42 s, 3 min 20 s, 1 h 05 min."""
    if seconds is None:
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest:02d} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"


def dollars(value: float | None) -> str:
    """Such as $0.0031, $1.20, $1,204."""
    if value is None:
        return NONE
    if value == 0:
        return "$0"
    if abs(value) < 0.01:
        return f"${value:.4f}"
    return f"${value:,.2f}" if abs(value) < 1000 else f"${value:,.0f}"


def count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def loss(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def losses(before: float | None, after: float | None) -> str | None:
    """A loss or a score, before and after training where both are known; None where there is none."""
    if after is None:
        return None
    return f"{loss(before)} → {loss(after)}" if before is not None else loss(after)


def share(part: int, whole: int) -> str:
    """A percentage; nothing is no share of nothing."""
    return f"{part / whole:.0%}" if whole else NONE
