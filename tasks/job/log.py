"""The steps of a job, followed: each change of state and each new log line is reported once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence

from tasks.azure import job_states
from tasks.azure.clients import Session
from tasks.azure.redaction import Lines
from tasks.azure.run_history import Log, Step
from tasks.core.stage import logger

LAST_LINES = 30
_LINES_A_LOOK = 200


class LogFollower:
    """What was reported of a job's steps; `forward` says whether their logs are copied to the run's."""

    def __init__(self, session: Session, *, forward: bool) -> None:
        self._session = session
        self._forward = forward
        self._logs: dict[str, Log] = {}
        self._filters: dict[str, Lines] = defaultdict(Lines)
        self._tails: dict[str, deque[str]] = {}
        self._said: dict[str, str] = {}

    def follow(self, steps: Iterable[Step]) -> None:
        """Tell what is new of them. Raises what reading a log raises; the next call goes on from there."""
        for step in steps:
            if self._said.get(step.id) == step.status and step.status not in job_states.RUNNING:
                continue
            if self._said.get(step.id) != step.status:
                logger().info("Step %s: %s", step.name, step.status)
            self._read(step)
            self._said[step.id] = step.status  # after its log: one that could not be read is read again

    def tail(self, step: Step) -> Sequence[str]:
        """The last lines of the step's log that were seen."""
        return self._tails.get(step.id, ())

    def _read(self, step: Step) -> None:
        if step.status in job_states.QUEUED:
            return
        log = self._logs.setdefault(step.id, Log(self._session, step.id))
        new = log.rest() if step.status in job_states.FINAL else log.new_lines()
        lines = self._filters[step.id](new)
        self._tails.setdefault(step.id, deque(maxlen=LAST_LINES)).extend(lines)
        if not self._forward:
            return
        if len(lines) > _LINES_A_LOOK:
            logger().info("%s | … %d lines left out", step.name, len(lines) - _LINES_A_LOOK)
        for line in lines[-_LINES_A_LOOK:]:
            logger().info("%s | %s", step.name, line)
