"""The clock by which the flow follows the service's operations: only its own waiting moves it."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tasks.azure import operation

_MOMENT = 0.01  # seconds of real time, in which a server beside us may go on


class FlowClock:
    """Moves when somebody sleeps, and then does what is due by that time."""

    @classmethod
    def installed(cls, patch: pytest.MonkeyPatch) -> FlowClock:
        """A clock by which the flow goes until the test ends."""
        clock = cls()
        patch.setattr(operation, "monotonic", clock)
        patch.setattr(operation, "sleep", clock.sleep)
        return clock

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.now

    def at(self, minutes: float, act: Callable[[], object]) -> None:
        """Do that once so many minutes have passed."""
        self._due.append((minutes * 60, act))

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.now += seconds
        for moment, act in [each for each in self._due if each[0] <= self.now]:
            self._due.remove((moment, act))
            act()
        time.sleep(_MOMENT)
