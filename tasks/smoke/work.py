"""The smoke's work: what its checks have made so far, and how they insist where Azure asks for patience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TypeVar

from tasks.azure.clients import Session
from tasks.azure.errors import explain
from tasks.azure.failure import Cause, Failure
from tasks.core.lease import Lease
from tasks.smoke.plan import Plan

T = TypeVar("T")
Facts = dict[str, float]

_LONGEST = 30.0  # seconds between two attempts


class Needed(Exception):
    """A check needs what an earlier one has not made."""


@dataclass
class Work:
    """What has been made: None, or empty, until it is there."""

    session: Session
    plan: Plan
    lease: Lease
    code: Path  # what steps and deployment run
    say: Callable[[str], None]
    job: str = ""
    model: str = ""
    serves: bool = False
    refusals: list[str] = field(default_factory=list)  # in the words of the current check

    def need(self, what: str, found: T) -> T:
        """The thing, if an earlier check has made it."""
        if not found:
            raise Needed(f"there is no {what}")
        return found

    def insist(self, attempt: Callable[[], T], limit: float) -> T:
        """Try until it is taken, where Azure's refusal is one that passes; each refusal is noted.

        A name that was deleted a moment ago may be refused as taken.
        """
        begun, pause = monotonic(), 0.2
        while True:
            try:
                return attempt()
            except Exception as error:
                failure = explain(error)
                passes = failure.retryable or failure.cause is Cause.NAME_TAKEN
                if not passes or monotonic() - begun > limit:
                    raise failure from error
                self.refusals.append(failure.what)
                self.say(f"refused, and tried again: {failure.what}")
            sleep(pause)
            pause = min(_LONGEST, 2 * pause)

    def until(self, ready: Callable[[], T | None], what: str, limit: float) -> T:
        """Look until it is so; raises Failure when that takes too long."""
        begun, pause = monotonic(), 0.1
        while not (found := self._looked(ready)):
            waited = monotonic() - begun
            if waited > limit:
                raise Failure(
                    f"The smoke waited {waited / 60:.0f} minutes for {what}.",
                    "See its page in the studio.",
                    cause=Cause.TIMED_OUT,
                )
            sleep(pause)
            pause = min(_LONGEST / 3, 1.3 * pause)
        return found

    def _looked(self, ready: Callable[[], T | None]) -> T | None:
        """What is to be seen; None where the service is out of reach for the moment."""
        try:
            return ready()
        except Exception as error:
            failure = explain(error)
            if not failure.retryable:
                raise
            self.say(failure.what)
            return None


def expect(holds: bool, otherwise: str) -> None:
    """Raise Failure, saying what is otherwise, unless it is as this project expects it of Azure."""
    if not holds:
        raise Failure(
            f"The workspace does otherwise than is expected: {otherwise}.",
            "The recording shows what it answered.",
            cause=Cause.OTHER,
        )
