"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(text: str | None) -> str:
    """A time as people read it, UTC."""
    return "" if not text else datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def span(start: str | None, end: str | None) -> str:
    if start is None or end is None:
        return ""
    whole = max(0.0, (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    if whole < 10:
        return f"{whole:.1f} s"
    hours, rest = divmod(int(whole), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
