"""The examination: all checks at once, each by itself, and an end to it whatever hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from time import monotonic

from flows.doctor import azure, data, machine, model, spending
from flows.doctor.check import Check, Finding, Line, Verdict, fails, warns
from flows.doctor.look import Look, Unmet
from flows.run.config import Finetune
from tasks.azure.errors import explain

LIMIT = 120.0  # seconds, after which a check that hangs has failed

CHECKS: tuple[Check, ...] = tuple(
    check for room in (machine, azure, model, spending, data) for check in room.registry.checks
)


def examine(config: Finetune, checks: Sequence[Check] = CHECKS, limit: float = LIMIT) -> Iterator[Line]:
    """The lines of every check, in the order of the checks, each as soon as those before it are there.

    The checks run side by side in threads of their own: one that crashes or hangs is a line that says so.
    """
    look = Look(config)
    began = monotonic()
    running = [_Running(check, look) for check in checks]
    for each in running:
        each.start()
    for each in running:
        each.join(max(0.0, limit - (monotonic() - began)))
        yield from each.lines()


class _Running(threading.Thread):
    """A check that runs; a daemon, so that one that hangs does not keep the process."""

    def __init__(self, check: Check, look: Look) -> None:
        super().__init__(name=f"check-{check.name}", daemon=True)
        self._check, self._look = check, look
        self._found: list[Finding] | None = None
        self._context = copy_context()  # settings that hold for a block, such as Prefect's, hold here too
        self._began = monotonic()
        self._took = 0.0

    def run(self) -> None:
        found = self._context.run(_found, self._check, self._look)
        self._took = monotonic() - self._began
        self._found = found

    def lines(self) -> Iterator[Line]:
        found, seconds = self._found, self._took
        if found is None:
            seconds = monotonic() - self._began
            found = [fails(f"No answer within {seconds:.0f} s.", "Check the connection, and try again.")]
        for each in found:
            yield Line(**each.model_dump(), check=self._check.name, seconds=round(seconds, 1))


def _found(check: Check, look: Look) -> list[Finding]:
    found: list[Finding] = []
    try:
        for finding in check.examine(look):
            found.append(finding)  # noqa: PERF402 - what came before an error counts
    except Unmet as unmet:
        found.append(warns(f"Not checked: see {unmet}."))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this check's alone
        if isinstance(error.__cause__, Unmet):
            return [warns(f"Not checked: see {error.__cause__}.")]
        failure = explain(error)
        found.append(fails(failure.what, failure.do, {"cause": failure.cause.value}, failure.details))
    return found


def passed(lines: Sequence[Line]) -> bool:
    """Whether nothing has failed."""
    return all(line.verdict is not Verdict.FAIL for line in lines)
