"""What somebody wants of a running job, and how its thread hears of it."""

from __future__ import annotations

import threading
from typing import Literal

# cancel: end it. preempt: its node is taken away, so it begins again. detach: the server stops, the processes
# go on without it.
Wish = Literal["cancel", "preempt", "detach"]


class Interrupted(Exception):
    """Raised in a job's thread when its control has a wish."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.wish = wish


class Control:
    """One job's switch: wishes come from other threads, the job's own looks between its steps."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._wish: Wish | None = None

    @property
    def wish(self) -> Wish | None:
        return self._wish

    def ask(self, wish: Wish) -> None:
        self._wish = wish
        self._event.set()

    def clear(self) -> None:
        self._wish = None
        self._event.clear()

    def check(self) -> None:
        """Raise Interrupted if there is a wish."""
        if self._wish is not None:
            raise Interrupted(self._wish)

    def pause(self, seconds: float) -> None:
        """Let time pass; raises Interrupted as soon as there is a wish."""
        self._event.wait(seconds)
        self.check()
