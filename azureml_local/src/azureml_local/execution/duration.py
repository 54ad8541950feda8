"""Durations as the wire writes them (ISO 8601) and as code counts them (seconds)."""

from __future__ import annotations

import re

from azureml_local.errors import BadRequest

_ISO = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")
_UNITS = (86400, 3600, 60, 1)


def seconds(value: object) -> float | None:
    """The seconds of a duration, None for none; raises BadRequest."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _ISO.fullmatch(str(value))
    if not match or not any(match.groups()):
        raise BadRequest(f"'{value}' is not a duration: write it like PT1H30M.", code="ValidationError")
    return sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
