"""One run of the flow in a process of its own, and how it ended."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from tests.sweep.trouble import Trouble, watcher

_WORDS = re.compile(r"^[^{\[].{9,599}$")  # a line that people read, and no beginning of a document
_RAW = re.compile(r"Traceback|object at 0x|\w(Error|Exception)\(|Unknown error|^\w+(Error|Exception)\b")


@dataclass(frozen=True)
class Ended:
    """How a run ended: its message, and whether that is one clear line; its stages' beginnings and ends."""

    completed: bool
    message: str
    clear: bool
    stages: tuple[str, ...]
    seconds: float
    dollars: float | None = None  # by the report of a completed run


def run(recipe: dict[str, Any], troubles: Sequence[Trouble], answer: Connection) -> None:
    """Run the recipe and send an Ended, whatever the troubles at the boundaries of its stages."""
    from flows.finetune import finetune
    from flows.run.config import parse
    from tasks.core.stage import observing

    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    stages: list[str] = []
    for trouble in troubles:
        trouble.prepare()
    begun = monotonic()
    dollars = None
    try:
        with observing(watcher(troubles, stages)):
            state = finetune(parse(recipe, "sweep"), return_state=True)
        completed, message, clear = _said(state)
        dollars = state.result().cost_usd if completed else None
    except BaseException as error:  # noqa: BLE001 - a signal ends the flow, and is the outcome
        completed, message, clear = False, f"{type(error).__name__}: {error}", _is_signal(error)
    seconds = monotonic() - begun
    answer.send(Ended(completed, message, clear, tuple(stages), seconds, dollars))
    answer.close()


def _said(state: Any) -> tuple[bool, str, bool]:
    """Whether the run completed, what it says, and whether that is clear."""
    if state.is_completed() or state.is_cancelled():
        message = state.message or ""
        return state.is_completed(), message, is_line(message)
    error = state.result(raise_on_failure=False)
    return False, str(error), is_clear(error)


def _is_signal(error: BaseException) -> bool:
    """Whether it is what a signal raises; the run's state and report say the rest."""
    from prefect.exceptions import TerminationSignal

    return isinstance(error, (KeyboardInterrupt, TerminationSignal))


def is_clear(error: object) -> bool:
    """Whether a run's error is what people can read: a failure in one line without a program's innards."""
    from tasks.azure.failure import Failure

    return isinstance(error, Failure) and is_line(str(error))


def is_line(text: str) -> bool:
    """Whether it is one clear line, as people read them."""
    return bool(_WORDS.search(text)) and not _RAW.search(text)
