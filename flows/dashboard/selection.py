"""Which runs are asked for: the filters of the history, checked before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice

from pydantic import BaseModel, ConfigDict

from flows.dashboard.run import STATES, RunRecord, State
from tasks.azure.failure import Cause, Failure

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


class Selection(BaseModel):
    """Runs in one of these states, of this recipe and model, begun since a moment; the newest first."""

    model_config = ConfigDict(frozen=True)

    states: tuple[State, ...] = ()
    recipe: str | None = None
    model: str | None = None
    since: datetime | None = None
    limit: int | None = None

    def takes(self, run: RunRecord) -> bool:
        return (
            (not self.states or run.state in self.states)
            and (self.recipe is None or run.recipe.casefold() == self.recipe.casefold())
            and (self.model is None or self.model.casefold() in f"{run.model} {run.registered}".casefold())
            and (self.since is None or run.when >= self.since)
        )

    def check(self, seen: Iterable[RunRecord]) -> None:
        """Raise Failure when no run is of the recipe or model asked for; it names those there are."""
        runs = list(seen)
        for option, asked, there in (
            ("recipe", self.recipe, {run.recipe for run in runs}),
            ("model", self.model, {run.base for run in runs}),
        ):
            only = Selection(**{option: asked})
            if asked is not None and runs and not any(map(only.takes, runs)):
                raise Failure(
                    f"No run is of the {option} {asked!r}.",
                    f"There are: {_list(there)}.",
                    cause=Cause.CONFIGURATION,
                )


def select(
    states: Iterable[str] = (),
    recipe: str | None = None,
    model: str | None = None,
    since: str | None = None,
    limit: int | None = None,
) -> Selection:
    """The selection of filters as people write them; raises Failure naming the one that is wrong."""
    chosen = {state.strip().casefold() for text in states for state in text.split(",") if state.strip()}
    unknown = sorted(chosen.difference(STATES))
    if unknown:
        raise Failure(
            f"There is no state {unknown[0]!r}.",
            f"Choose from: {', '.join(STATES)}.",
            cause=Cause.CONFIGURATION,
        )
    if limit is not None and limit < 1:
        raise Failure("--limit must be at least 1.", f"It was {limit}.", cause=Cause.CONFIGURATION)
    return Selection(
        states=tuple(state for state in STATES if state in chosen),
        recipe=recipe or None,
        model=model or None,
        since=_moment(since, datetime.now(UTC)) if since else None,
        limit=limit,
    )


def _moment(text: str, now: datetime) -> datetime:
    """A date, a time, or how long ago: 2026-03-01, 2026-03-01T12:00, 36h, 14d, 8w."""
    ago = re.fullmatch(r"(\d{1,5})([hdw])", text.strip().casefold())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Failure(
            f"{text!r} is no date and no duration.",
            "Write 2026-03-01, or 36h, 14d, 8w for that long ago.",
            cause=Cause.CONFIGURATION,
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _list(names: Iterable[str], most: int = 12) -> str:
    there = sorted(names)
    return ", ".join(islice(there, most)) + (", …" if len(there) > most else "")
