"""Whose report has the dollars of a job: its holder's, or in part that of a run which went on with it.

A holder that was lost reports nothing, or what it had seen. Whoever comes next books the rest and says so in
a tag of the job, so that nobody counts it a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from pydantic import BaseModel, ConfigDict

from tasks.core.lease import PREFIX

_TAG = f"{PREFIX}booked"


class Booking(BaseModel):
    """So many US dollars of a job are in the report of a run that does not hold it."""

    model_config = ConfigDict(frozen=True)

    run: str
    dollars: float

    @classmethod
    def read(cls, tags: Mapping[str, str]) -> Booking | None:
        """The booking that tags state; None for none, or one that is not to be understood."""
        run, _, text = tags.get(_TAG, "").partition(" ")
        try:
            dollars = float(text)
        except ValueError:
            return None
        return cls(run=run, dollars=dollars) if run and isfinite(dollars) and dollars >= 0 else None

    def tags(self) -> dict[str, str]:
        return {_TAG: f"{self.run} {self.dollars:.6f}"}
