"""Run history: the steps of a job, how each is doing, why it failed, and its log while it grows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, private
from tasks.azure.clients import Session

_USER_LOG = re.compile(
    r"^(user_logs/std_log|azureml-logs/\d+_driver_log|logs/azureml/stdout).*\.txt$|^logs/azureml/std"
)
_DEPTH = 4  # of pipelines in pipelines


class Step(BaseModel):
    """One step of a job: a child run, and how it is doing."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """How long the step has run, or ran."""
        return 0.0 if self.started is None else ((self.ended or now) - self.started).total_seconds()


def steps(session: Session, job: str) -> list[Step]:
    """The steps of a job in the order of their start; those of a pipeline within it in its place."""
    return sorted(
        _leaves(session, job, _DEPTH), key=lambda step: step.started or datetime.max.replace(tzinfo=UTC)
    )


def error(session: Session, run: str) -> str:
    """What a failed run says went wrong; empty when it does not say."""
    found = _details(session, run).error
    inner = getattr(found, "error", None)
    return str(getattr(inner, "message", None) or "")


class Log:
    """The log files of a run, read on from where the last reading stopped."""

    def __init__(self, session: Session, run: str) -> None:
        self._session = session
        self._run = run
        self._offsets: dict[str, int] = {}
        self._unfinished: dict[str, bytes] = {}

    def new_lines(self) -> list[str]:
        """The complete lines written since the last call."""
        lines: list[str] = []
        for name, url in self._files().items():
            begun = self._unfinished.get(name, b"")
            grown = self._read(url, self._offsets.get(name, 0))
            self._offsets[name] = self._offsets.get(name, 0) + len(grown)
            *complete, self._unfinished[name] = (begun + grown).split(b"\n")
            lines += [_line(line) for line in complete]
        return [line for line in lines if line]

    def rest(self) -> list[str]:
        """Like new_lines, with an unfinished last line taken as complete: for runs that have ended."""
        lines = self.new_lines()
        lines += [_line(begun) for begun in self._unfinished.values() if begun]
        self._unfinished.clear()
        return lines

    def _files(self) -> dict[str, str]:
        files = _details(self._session, self._run).log_files or {}
        return {name: files[name] for name in sorted(files) if _USER_LOG.match(name)}

    def _read(self, url: str, offset: int) -> bytes:
        limits = clients.timeouts()
        answer = requests.get(
            url,
            headers={"Range": f"bytes={offset}-"},
            timeout=(limits["connection_timeout"], limits["read_timeout"]),
        )
        if answer.status_code in (404, 416):  # not written yet; nothing beyond the offset
            return b""
        answer.raise_for_status()
        return answer.content if answer.status_code == 206 else answer.content[offset:]


def _line(line: bytes) -> str:
    """A progress bar overwrites its line: what stands at the end is what a terminal would show."""
    text = line.decode(errors="replace").rstrip("\r\n").rsplit("\r", 1)[-1].rstrip()
    return text if len(text) <= 2000 else text[:1999] + "…"


def _leaves(session: Session, run: str, depth: int) -> Iterator[Step]:
    for child in _children(session, run):
        within = list(_leaves(session, child.run_id, depth - 1)) if depth and _is_pipeline(child) else []
        if within:
            yield from within
        else:
            yield Step(
                id=child.run_id,
                name=child.display_name or child.name or child.run_id,
                status=child.status or "Unknown",
                started=child.start_time_utc,
                ended=child.end_time_utc,
            )


def _is_pipeline(run: Any) -> bool:
    source = (run.properties or {}).get("azureml.runsource", "")
    kinds = f"{run.run_type} {source}".casefold()
    return "pipeline" in kinds and "steprun" not in kinds


def _children(session: Session, run: str) -> list[Any]:
    where = (session.subscription_id, session.resource_group, session.workspace)
    return private.child_runs(clients.workspace(session).jobs, where, run)


def _details(session: Session, run: str) -> Any:
    return private.run_details(clients.workspace(session).jobs, run)
