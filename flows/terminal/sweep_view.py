"""The runs of a group in the terminal, while they go; all of it on stderr."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.terminal.live import MARKS, Lines, Stages, lasting_console, printing_warnings, short
from flows.trials.grid import Trial
from flows.trials.watching import watched
from tasks.core.log import Told
from tasks.core.stage import StageEvent, StageState, observing


@contextmanager
def view(trials: Sequence[Trial]) -> Iterator[None]:
    """Show each run of the group, then the winner's stages: live on a terminal, a line each elsewhere."""
    console = lasting_console()
    warnings = printing_warnings(console, Told.GROUP, Told.STAGE)
    if not console.is_terminal:
        with watched(_Said(console)), observing(Lines(console)), warnings:
            yield
        return
    runs, stages = _Runs(trials), Stages()
    with (
        Live(_Both(runs, stages), console=console, refresh_per_second=4, redirect_stdout=False),
        watched(runs.take),
        observing(stages.take),
        warnings,
    ):
        yield


class _Said:
    """A line when a run comes to a stage or fails."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[int, str] = {}
        self._lock = Lock()

    def __call__(self, trial: Trial, event: StageEvent) -> None:
        failed = event.state is StageState.FAILED
        line = f"{MARKS[event.state][0]} {trial.number} {trial.title}: {event.stage}"
        line += f": {short(event.detail)}" if failed and event.detail else ""
        with self._lock:
            if event.state is not StageState.DONE and self._last.get(trial.number) != line:
                self._last[trial.number] = line
                self._console.print(Text(line), soft_wrap=True)


class _Runs:
    """The runs as a table that renders itself again as they go on."""

    def __init__(self, trials: Sequence[Trial]) -> None:
        self._trials = trials
        self._events: dict[int, StageEvent] = {}

    def take(self, trial: Trial, event: StageEvent) -> None:
        self._events = {**self._events, trial.number: event}

    def __rich__(self) -> Table:
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in range(2):
            table.add_column(no_wrap=True)
        table.add_column(style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
        for trial in self._trials:
            event = self._events.get(trial.number)
            mark, colour = MARKS[event.state] if event else ("·", "dim")
            doing = f"{event.stage}: {short(event.detail)}" if event else "waits"
            table.add_row(Text(f"{mark} {trial.number}", style=colour), trial.title, Text(doing))
        return table


class _Both:
    def __init__(self, runs: _Runs, stages: Stages) -> None:
        self._parts = (runs, stages)

    def __rich__(self) -> Group:
        return Group(*self._parts)
