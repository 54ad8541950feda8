"""Run history: the steps of a job, how each is doing, why it failed, and its log while it grows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import BaseModel, ConfigDict

from tasks.azure import clients, job_states, private
from tasks.azure.clients import Session

# What the command itself writes, of the first process where several share the training, and nothing of the
# machinery around it. The pattern of user_logs is the SDK's own.
_USER_LOG = re.compile(r"user_logs/std_log\D*0*(?:_ps)?\.txt|azureml-logs/\d+_driver_log(?:_0)?\.txt")
_DEPTH = 8  # of runs below a job's; a pipeline component in a pipeline takes two


class Step(BaseModel):
    """One step of a job: a run without others below it, and how it is doing.

    `cluster` and `nodes` are what it runs on, None until the service says; one that is `reused` ran earlier,
    in another job.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    status: str
    started: datetime | None = None
    ended: datetime | None = None
    cluster: str | None = None
    nodes: int | None = None
    reused: bool = False

    def seconds(self, now: datetime) -> float:
        """How long the step has run, or ran."""
        return 0.0 if self.started is None else ((self.ended or now) - self.started).total_seconds()


def steps(session: Session, job: str) -> list[Step]:
    """The steps of a job in the order of their start, whatever lies between it and them."""
    found = leaves(job, lambda run: _children(session, run))
    return sorted(map(_step, found), key=lambda step: step.started or datetime.max.replace(tzinfo=UTC))


def leaves(run: str, children: Callable[[str], list[Any]], depth: int = _DEPTH) -> Iterator[Any]:
    """The runs below one that do something themselves.

    A node that is a pipeline component is a StepRun (StepType SubGraphCloudStep) with a PipelineRun below it
    (runSource SubGraphCloud), and the steps below that: as mldesigner and ACFT's callbacks of Microsoft walk
    it. Such a run is never a step, unless it has ended before anything was below it.
    """
    for child in children(run):
        below = _below(child, children, depth)
        if below is None:
            yield child
        else:
            yield from below


def _below(child: Any, children: Callable[[str], list[Any]], depth: int) -> Iterator[Any] | None:
    """What is below a run that stands for others; None for a step."""
    if not depth or not _stands_for_others(child):
        return None
    below = list(leaves(child.run_id, children, depth - 1))
    if not below and child.status in job_states.FINAL:
        return None  # it failed before there was a step
    return iter(below)


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
        return {name: files[name] for name in sorted(files) if _USER_LOG.fullmatch(name)}

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


def _stands_for_others(run: Any) -> bool:
    """Whether the run is a pipeline's, or that of a node which holds a pipeline."""
    properties = run.properties or {}
    if str(properties.get("StepType", "")).startswith("SubGraph"):
        return True
    sources = f"{properties.get('runSource', '')} {properties.get('azureml.runsource', '')}".casefold()
    kinds = f"{run.run_type or ''} {sources}".casefold()
    return "subgraph" in sources or ("pipeline" in kinds and "steprun" not in kinds)


def _step(run: Any) -> Step:
    compute = run.compute
    return Step(
        id=run.run_id,
        name=run.display_name or run.name or run.run_id,
        status=run.status or "Unknown",
        started=run.start_time_utc,
        ended=run.end_time_utc,
        cluster=compute.target if compute else None,
        nodes=compute.instance_count if compute else None,
        reused=(run.properties or {}).get("azureml.isreused") == "true",
    )


def _children(session: Session, run: str) -> list[Any]:
    where = (session.subscription_id, session.resource_group, session.workspace)
    return private.child_runs(clients.workspace(session).jobs, where, run)


def _details(session: Session, run: str) -> Any:
    return private.run_details(clients.workspace(session).jobs, run)
