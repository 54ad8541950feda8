"""The service's time of day: what it says of its jobs is compared with this, not with the machine's clock.

A machine's clock may be minutes off, and dollars are counted in minutes of several nodes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_SLACK = timedelta(seconds=5)  # an answer's date has whole seconds, and was some time under way
_ahead = timedelta()


def note(date: str | None) -> None:
    """Take the `Date` of an answer that has just come; one that cannot be read says nothing."""
    global _ahead
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return
    ahead = found - datetime.now(UTC)
    _ahead = ahead if abs(ahead) > _SLACK else timedelta()


def now() -> datetime:
    """The time of day, UTC: the machine's own, unless the service's last answer was far from it."""
    return datetime.now(UTC) + _ahead


def here(moment: datetime) -> datetime:
    """A moment of the service's by the machine's own clock, for what is compared with that."""
    return moment - _ahead
