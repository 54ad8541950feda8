"""When a schedule is due: its trigger read from a request, and the moments that it names.

Documented (how-to-schedule-pipeline-job, OpenAPI 2024-04-01): times are local to a Windows time zone and have
no offset; of a cron expression days and months are not heeded; a recurrence without hours and minutes begins
with its start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil import rrule

from azureml_local.errors import BadRequest

_FREQUENCIES = {
    "minute": rrule.MINUTELY,
    "hour": rrule.HOURLY,
    "day": rrule.DAILY,
    "week": rrule.WEEKLY,
    "month": rrule.MONTHLY,
}
_DAYS = {
    "monday": rrule.MO,
    "tuesday": rrule.TU,
    "wednesday": rrule.WE,
    "thursday": rrule.TH,
    "friday": rrule.FR,
    "saturday": rrule.SA,
    "sunday": rrule.SU,
}


@dataclass(frozen=True)
class Trigger:
    """A trigger of a schedule that was made at `made`; `given` has been checked by `read`."""

    given: Mapping[str, Any]
    zone: tzinfo
    made: datetime

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The moments from then on, that one not included, in their order."""
        end = _time(self.given, "endTime", self.zone)
        start = _time(self.given, "startTime", self.zone)
        for due in self._moments(moment, start or self.made):
            if end is not None and due > end:
                return
            if due > moment and (start is None or due >= start):
                yield due

    def _moments(self, moment: datetime, start: datetime) -> Iterator[datetime]:
        if self.given["triggerType"] == "Cron":
            begin = max(moment, start).astimezone(self.zone)
            yield from CronSim(_expression(self.given), begin)
            return
        for local in _rule(self.given, start.astimezone(self.zone).replace(tzinfo=None)):
            yield local.replace(tzinfo=self.zone).astimezone(UTC)


def read(given: object, made: datetime) -> Trigger:
    """The trigger of a request; raises BadRequest for one that cannot be."""
    if not isinstance(given, Mapping):
        raise _refused("it must be an object")
    zone = _zone(given.get("timeZone") or "UTC")
    for name in ("startTime", "endTime"):
        _time(given, name, zone)
    try:
        match given.get("triggerType"):
            case "Cron":
                CronSim(_expression(given), made.astimezone(zone))
            case "Recurrence":
                _rule(given, made.replace(tzinfo=None))
            case _:
                raise _refused("its triggerType is Cron or Recurrence")
    except (CronSimError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused(f"{type(error).__name__} {error}") from error
    return Trigger(given, zone, made)


def _expression(given: Mapping[str, Any]) -> str:
    """The cron expression without the days and months that the service does not heed."""
    parts = str(given.get("expression") or "").split()
    if len(parts) != 5:
        raise _refused("a cron expression has five parts")
    minutes, hours, _, _, days = parts
    return f"{minutes} {hours} * * {days}"


def _rule(given: Mapping[str, Any], start: datetime) -> Iterator[datetime]:
    frequency = _FREQUENCIES[str(given.get("frequency")).casefold()]
    interval = given.get("interval")
    if isinstance(interval, bool) or not isinstance(interval, int) or interval < 1:
        raise _refused("its interval is a whole number from 1 on")
    pattern = given.get("schedule") or {}
    days = pattern.get("weekDays")
    moments: Iterator[datetime] = iter(
        rrule.rrule(
            frequency,
            dtstart=start.replace(second=0, microsecond=0) if pattern else start,
            interval=interval,
            byhour=pattern.get("hours"),
            byminute=pattern.get("minutes"),
            bysecond=0 if pattern else None,
            byweekday=None if days is None else [_DAYS[str(day).casefold()] for day in days],
            bymonthday=pattern.get("monthDays"),
        )
    )
    return moments


def _zone(name: object) -> tzinfo:
    """The zone of a Windows name, or of one of the IANA's."""
    from tzlocal.windows_tz import win_tz

    try:
        return UTC if name == "UTC" else ZoneInfo(win_tz.get(str(name), str(name)))
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise _refused(f"there is no time zone {name!r}") from error
    except KeyError as error:
        raise _refused(f"there is no time zone {name!r}") from error


def _time(given: Mapping[str, Any], name: str, zone: tzinfo) -> datetime | None:
    value = given.get(name)
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise _refused(f"{name} is a time such as 2022-06-01T00:00:01") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _refused(why: str) -> BadRequest:
    return BadRequest(f"The schedule's trigger is not valid: {why}.", target="trigger")
