"""The stages of a run in the terminal, while it goes; all of it on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import monotonic

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from flows.run.config import Finetune
from tasks.core.log import Told, told
from tasks.core.output import outlive
from tasks.core.stage import StageEvent, StageState, observing

MARKS = {
    StageState.RUNNING: ("●", "cyan"),
    StageState.DONE: ("✓", "green"),
    StageState.FAILED: ("✗", "red"),
    StageState.INTERRUPTED: ("■", "yellow"),
}
_WIDTH = 160  # characters of what a stage does


@contextmanager
def view(config: Finetune) -> Iterator[None]:
    """Show the stages of whatever runs within the block: live on a terminal, a line each elsewhere."""
    console = lasting_console()
    console.print(f"[bold]{config.recipe}[/]: {config.base.name} in a workspace in {config.workspace.where}")
    warnings = printing_warnings(console, *Told)
    if not console.is_terminal:
        with observing(Lines(console)), warnings:
            yield
        return
    stages = Stages()
    with (
        # What libraries print on stdout belongs to the log, and would come through the live view otherwise.
        Live(stages, console=console, refresh_per_second=4, transient=False, redirect_stdout=False),
        observing(stages.take),
        warnings,
    ):
        yield


def lasting_console() -> Console:
    """A console on stderr as it is now, which falls silent when its reader is gone.

    A run puts another stream in the place of stderr while it goes. Through that one a live view would write
    into itself, and show nothing until its end.
    """
    console = Console(file=sys.stderr, highlight=False)
    outlive(console)
    return console


class Stages:
    """The stages as a table that renders itself again as time passes."""

    def __init__(self) -> None:
        self._events: dict[str, StageEvent] = {}
        self._begun: dict[str, float] = {}

    def take(self, event: StageEvent) -> None:
        self._begun.setdefault(event.stage, monotonic())
        last = self._events.get(event.stage)
        if event.state is StageState.DONE and last is not None and last.detail:
            event = replace(event, detail=last.detail)
        self._events = {**self._events, event.stage: event}

    def __rich__(self) -> Group:
        table = Table.grid(padding=(0, 2), expand=True)  # so that only what has a ratio is cut
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(style="dim", no_wrap=True, overflow="ellipsis", ratio=1)
        for name, event in self._events.items():
            mark, colour = MARKS[event.state]
            seconds = event.seconds if event.seconds is not None else monotonic() - self._begun[name]
            table.add_row(Text(f"{mark} {name}", style=colour), f"{seconds:.1f} s", Text(short(event.detail)))
        return Group(table)


class Lines:
    """A line when a stage begins, changes what it does, and ends."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: dict[str, str] = {}

    def __call__(self, event: StageEvent) -> None:
        what = event.detail.split(" | ", 1)[0].split(", $", 1)[0]  # a log line a second is too many
        line = f"{MARKS[event.state][0]} {event.stage}"
        if event.seconds is not None:
            line += f" ({event.seconds:.1f} s)"
        if what and event.state is not StageState.DONE:
            line += f": {short(what)}"
        if self._said.get(event.stage) != line:
            self._said[event.stage] = line
            self._console.print(Text(line), soft_wrap=True)


@contextmanager
def printing_warnings(console: Console, *besides: Told) -> Iterator[None]:
    """Have what is logged printed among the stages: above a live view, not through it.

    `besides` is what is told without the log.
    """
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [_Warnings(console, besides)]
    try:
        yield
    finally:
        root.handlers[:] = before


class _Warnings(logging.Handler):
    def __init__(self, console: Console, besides: Collection[Told]) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._besides = besides

    def emit(self, record: logging.LogRecord) -> None:
        if told(record) not in self._besides:
            self._console.print(Text(record.getMessage(), style="yellow"), soft_wrap=True)


def short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
