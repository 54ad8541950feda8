"""A run of the fine-tune in a forked process: by the command line, or as a worker starts it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from flows.run import parameters
from flows.run.config import Finetune
from flows.run.flow_runs import FLOW
from tests.support.checkout import TINY
from tests.support.fork_server import Forked, ForkServer
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import until

_ENTRYPOINT = "flows/finetune.py:finetune"


@dataclass
class Processes:
    """Starts runs, and ends what is left of them with the test."""

    server: ForkServer
    prefect: PrefectServer
    folder: Path
    started: list[Forked] = field(default_factory=list)

    def command(self, *changes: str, **variables: str) -> Forked:
        """`finetune run` of the tiny recipe with these changes."""
        sets = [f"--set={change}" for change in (f"data.directory={self.folder / 'data'}", *changes)]
        return self._start(["flows.terminal.cli", "run", str(TINY / "recipe.yaml"), *sets], variables)

    def engine(self, run: UUID) -> Forked:
        """The process that a worker starts for a deployment's run."""
        variables = {
            "PREFECT__FLOW_RUN_ID": str(run),
            "PREFECT__FLOW_ENTRYPOINT": _ENTRYPOINT,
            "PREFECT_LOGGING_LEVEL": "INFO",
        }
        return self._start(["prefect.engine"], variables)

    def said(self, process: Forked) -> str:
        return (self.folder / f"{self.started.index(process)}.log").read_text(errors="replace")

    def _start(self, arguments: list[str], variables: dict[str, str]) -> Forked:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        with (self.folder / f"{len(self.started)}.log").open("wb") as log:
            own = {**inherited, **self.prefect.environment, **variables}
            process = self.server.start(arguments, own, out=log, err=log)
        self.started.append(process)
        return process


@contextmanager
def processes(server: ForkServer, prefect: PrefectServer, folder: Path) -> Iterator[Processes]:
    made = Processes(server, prefect, folder)
    try:
        yield made
    finally:
        for process in made.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def deploy(prefect: PrefectServer, config: Finetune, name: str) -> UUID:
    """A deployment of the fine-tune with this configuration, as `prefect deploy` fills it in."""
    with prefect.client() as client:
        return client.create_deployment(
            flow_id=client.create_flow_from_name(FLOW),
            name=name,
            entrypoint=_ENTRYPOINT,
            parameters=parameters.of(config),
            enforce_parameter_schema=False,
        )


def run_of(prefect: PrefectServer, deployment: UUID, given: dict[str, Any] | None = None) -> UUID:
    """A run of the deployment with these parameters of its own."""
    with prefect.client() as client:
        return client.create_flow_run_from_deployment(deployment, parameters=given or {}).id


def read(prefect: PrefectServer, run: UUID) -> FlowRun:
    with prefect.client() as client:
        return client.read_flow_run(run)


def once(process: Forked, condition: Callable[[], Any], said: Callable[[], str]) -> Any:
    """The condition's first true value; fails the test at once when the process has ended before."""

    def look() -> Any:
        value = condition()
        assert value or process.poll() is None, said()
        return value

    return until(look)
