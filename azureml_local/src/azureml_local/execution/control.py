"""What somebody asks of a running job, and how its thread hears of it."""

from __future__ import annotations

import threading
from enum import Enum, auto

from azureml_local.state.clock import Clock

_LOOK_AGAIN = 0.2  # seconds between looks at a clock


class Signal(Enum):
    """What a running job can be asked."""

    CANCEL = auto()  # end
    DETACH = auto()  # the server stops: let the processes go on without it
    STOP = auto()  # the server stops, and the processes with it: the job begins again with the next


class Interrupted(Exception):
    """Raised in a job's thread when it was sent a signal."""

    def __init__(self, signal: Signal) -> None:
        super().__init__(signal)
        self.signal = signal


class Preempted(Exception):
    """Raised in a job's thread when its node is taken away: the job goes back to the queue."""


class Control:
    """One job's switch: signals come from other threads, the job's own looks between its steps."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._signal: Signal | None = None

    @property
    def signal(self) -> Signal | None:
        """What was asked last, None when nothing was."""
        return self._signal

    def send(self, signal: Signal) -> None:
        """Ask it of the job."""
        self._signal = signal
        self._event.set()

    def check(self) -> None:
        """Raise Interrupted if there is a signal."""
        if self._signal is not None:
            raise Interrupted(self._signal)

    def pause_until(self, moment: float, clock: Clock) -> None:
        """Let time pass until that moment of the clock, which may be moved on; raises Interrupted."""
        while (left := moment - clock.timestamp()) > 0:
            self.pause(min(left, _LOOK_AGAIN))

    def pause(self, seconds: float) -> None:
        """Let time pass; raises Interrupted as soon as there is a signal."""
        self._event.wait(seconds)
        self.check()
