"""The Prefect server of one process of the sweep, which is killed and restarted, and runs deployments."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import psutil
from prefect.client.schemas.objects import FlowRun

from flows.operations.deployed_runs import ended, row
from flows.operations.stand import PrefectServer, end, start_worker, until
from tests.support.deployed import deploy
from tests.sweep.run import Ended, is_line

_LIMIT = 400.0  # seconds of one run


@dataclass
class OwnServer:
    """A server whose process `pid` somebody else has started; the one that follows a kill is ours."""

    home: Path
    port: int
    pid: int
    extra: dict[str, str] = field(default_factory=dict)

    @cached_property
    def prefect(self) -> PrefectServer:
        return PrefectServer(self.home, self.port, self.extra)

    def restart_once_wanted(self, wanted: Path) -> None:
        """Kill the server when that file is there, and start it again; the file goes in between."""
        if not wanted.exists():
            return
        os.killpg(self.pid, signal.SIGKILL)
        until(lambda: _is_dead(self.pid), "Prefect's server does not end.", _LIMIT)
        wanted.unlink()
        self.prefect.start()
        self.pid = self.prefect.pid

    @cached_property
    def deployment(self) -> UUID:
        return deploy(self.prefect)["finetune"]

    def lose_worker(self, recipe: dict[str, Any], stage: str) -> Ended:
        """How the recipe's run by a worker ends that is killed alone once the stage has begun."""
        from flows.run import parameters
        from flows.run.config import parse
        from flows.run.signature import DEFAULT_RECIPE

        begun = monotonic()
        given = parameters.of(parse(recipe, DEFAULT_RECIPE))
        with self.prefect.client() as client:
            run = client.create_flow_run_from_deployment(self.deployment, parameters=given).id
        worker = start_worker(self.prefect)
        try:
            until(lambda: self._has_begun(run, stage), f"The stage {stage} does not begin.", _LIMIT)
            worker.kill()
            worker.wait()
            last = ended(self.prefect, run, _LIMIT)
        finally:
            end(worker)
        report = row(self.prefect, run) or {}
        message = (last.state.message if last.state else None) or ""
        completed = bool(last.state and last.state.is_completed() and last.run_count == 1)
        return Ended(completed, message, is_line(message), (), monotonic() - begun, report.get("cost_usd"))

    def _has_begun(self, run: UUID, stage: str) -> bool:
        with self.prefect.client() as client:
            found: FlowRun = client.read_flow_run(run)
            names = [task.name for task in client.read_task_runs() if task.flow_run_id == run]
        over = found.state is not None and found.state.is_final()
        return over or any(name == stage or name.startswith((f"{stage} ", f"{stage}:")) for name in names)


def _is_dead(pid: int) -> bool:
    """Whether it has ended; whoever has started it may not have looked yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
