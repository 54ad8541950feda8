"""A run of the flow in a process forked off one that has imported everything."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from time import monotonic
from typing import Any

import psutil

from tests.sweep import kinds
from tests.sweep.run import Ended, run
from tests.sweep.trouble import Trouble

HUNG = "hung"
_LIMIT = 400.0  # seconds of one run
_POLL = 0.1


@dataclass
class Started:
    """The process of a run, and where its Ended comes from; `beside` is done again and again meanwhile."""

    process: ForkServerProcess
    answer: Connection
    stops: bool
    beside: Callable[[], None]

    def ended(self) -> Ended | None:
        """How it ended; None for a process that ended without a word, HUNG for one that did not end."""
        deadline = monotonic() + _LIMIT
        try:
            while not self.answer.poll(_POLL):
                self.beside()
                if self.stops:
                    self._let_go_on()
                if monotonic() > deadline:
                    return Ended(completed=False, message=HUNG, clear=False, stages=(), seconds=_LIMIT)
            ended: Ended = self.answer.recv()
        except EOFError:
            return None
        finally:
            self.process.join(10)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()
        return ended

    def _let_go_on(self) -> None:
        assert self.process.pid is not None
        if psutil.pid_exists(self.process.pid):
            process = psutil.Process(self.process.pid)
            if process.status() == psutil.STATUS_STOPPED:
                process.resume()


def started(recipe: dict[str, Any], *troubles: Trouble, beside: Callable[[], None] = lambda: None) -> Started:
    """Start the run, with what happens to it at the boundaries of its stages."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(recipe, troubles, there))
    process.start()
    there.close()
    stops = any(trouble.kind == kinds.STOP for trouble in troubles)
    return Started(process, here, stops, beside)
