"""One run of the flow in a process of its own, and how it ended."""

from __future__ import annotations

import logging
import os
import re
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

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


def run(recipe: dict[str, Any], kill_at: int | None, answer: Connection) -> None:
    """Run the recipe and send an Ended; with `kill_at` SIGKILL this process at that boundary of a stage."""
    from flows.finetune import finetune
    from flows.run.config import parse
    from tasks.core.stage import StageEvent, observing

    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    stages: list[str] = []

    def watch(progress: StageEvent) -> None:
        if progress.state == "running" and progress.detail:
            return
        stages.append(f"{progress.stage} {progress.state}")
        if len(stages) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    begun = monotonic()
    with ExitStack() as stack:
        stack.enter_context(observing(watch))
        state = finetune(parse(recipe, "sweep"), return_state=True)
    completed = state.is_completed()
    error = None if completed else state.result(raise_on_failure=False)
    answer.send(
        Ended(
            completed=completed,
            message=state.message or "" if completed else f"{error}",
            clear=completed or is_clear(error),
            stages=tuple(stages),
            seconds=monotonic() - begun,
        )
    )
    answer.close()


def is_clear(error: object) -> bool:
    """Whether a run's error is what people can read: a failure in one line without a program's innards."""
    from tasks.azure.failure import Failure

    text = str(error)
    return isinstance(error, Failure) and bool(_WORDS.search(text)) and not _RAW.search(text)
