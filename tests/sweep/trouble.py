"""What happens to a run at the boundary of one of its stages, beyond a call that goes wrong."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from azureml_local import switch
from azureml_local.server import Address
from tests.support.flow_clock import FlowClock
from tests.support.waiting import until
from tests.sweep import kinds

_LOCKED = 15.0  # seconds of real time: Prefect's server gives up a statement before that
_SERVICE = ("/subscriptions/**", "/history/**")
_SIGNALS: Mapping[str, signal.Signals] = {
    kinds.KILL: signal.SIGKILL,
    kinds.TERM: signal.SIGTERM,
    kinds.HUP: signal.SIGHUP,
    kinds.STOP: signal.SIGSTOP,  # the worker of the sweep lets it go on
    kinds.INTERRUPT: signal.SIGINT,
    kinds.TWICE: signal.SIGINT,
}


@dataclass
class Trouble:
    """One kind of it, in the run's process, at the boundary of that number, counted from one, or name."""

    kind: str
    at: int | str
    state: Path  # of the workspace
    url: str
    clock: FlowClock = field(default_factory=FlowClock)  # one for all that come to the same run
    reached: int | None = None

    def prepare(self) -> None:
        """Let the flow wait by its own clock where the service will be away for minutes."""
        if self.kind not in kinds.AWAY:
            return
        from tasks.azure import operation
        from tasks.core import outage
        from tasks.job import wait

        for module in (outage, operation, wait):
            module.sleep, module.monotonic = self.clock.sleep, self.clock  # type: ignore[attr-defined]

    def reach(self, number: int, name: str) -> None:
        """Do what is due there; Ctrl-C the second time at the next one, in the midst of the clean-up."""
        if self.kind == kinds.TWICE and self.reached == number - 1:
            os.kill(os.getpid(), signal.SIGINT)
        if self.reached is not None or self.at not in (number, name):
            return
        self.reached = number
        if wanted := _SIGNALS.get(self.kind):
            os.kill(os.getpid(), wanted)
        elif self.kind in kinds.AWAY:
            self._go_away(kinds.AWAY[self.kind])
        elif self.kind == kinds.LOCKED:
            _lock(Path(os.environ["PREFECT_HOME"]) / "prefect.db")
        elif self.kind == kinds.RESTARTED:
            self.server_wanted_gone.touch()
            until(lambda: not self.server_wanted_gone.exists(), "nobody has killed Prefect's server")

    @property
    def server_wanted_gone(self) -> Path:
        """The file by which the worker of the sweep is asked to kill Prefect's server."""
        return self.state / "kill-prefect"

    def _go_away(self, minutes: float) -> None:
        """The service answers 503 until so many minutes have passed on the flow's clock.

        Its storage does not: the job's own steps read their data there, and would fail.
        """
        headers = {"Retry-After": "0.01"}  # azure-core takes none for silence, and waits by the real clock
        busy = {"kind": "status", "status": 503, "count": None, "headers": headers}
        self._faults([{**busy, "path": path} for path in _SERVICE])
        self.clock.at(self.clock.now / 60 + minutes, lambda: self._faults([]))

    def _faults(self, rules: list[dict[str, object]]) -> None:
        switch.ask(self.state, Address(self.url, 0), "/admin/faults", {"faults": rules})


def _lock(database: Path) -> None:
    """Hold Prefect's database as a backup of it might, so that every write of the server fails meanwhile."""
    held = threading.Event()

    def hold() -> None:
        connection = sqlite3.connect(database, timeout=60, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            held.set()
            threading.Event().wait(_LOCKED)
            connection.execute("ROLLBACK")
        finally:
            held.set()
            connection.close()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()


def watcher(troubles: Sequence[Trouble], stages: list[str]) -> Callable[[object], None]:
    """An observer that notes the boundaries of stages, and lets the troubles come."""

    def watch(progress: object) -> None:
        state, detail = getattr(progress, "state", ""), getattr(progress, "detail", "")
        if state == "running" and detail:
            return
        stages.append(f"{getattr(progress, 'stage', '')} {state}")
        for trouble in troubles:
            trouble.reach(len(stages), stages[-1])

    return watch
