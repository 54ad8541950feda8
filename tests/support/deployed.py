"""The tiny fine-tune and the watcher as deployments, run by a process worker."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from flows.run import parameters
from flows.run.config import Finetune
from tests.support.checkout import ROOT
from tests.support.prefect_server import POOL, PrefectServer, make_pool, serving, working
from tests.support.waiting import until

_IN_A_YEAR = DeploymentScheduleCreate(
    schedule=IntervalSchedule(
        interval=timedelta(days=365), anchor_date=datetime.now(UTC) + timedelta(days=365)
    )
)
_SET_DIRECTORY = "prefect.deployments.steps.set_working_directory"


@dataclass
class Deployed:
    """Deployments on a Prefect server whose worker leads its runs to the local workspace."""

    prefect: PrefectServer
    deployments: dict[str, UUID]
    worker: subprocess.Popen[bytes]

    def run(self, flow: str, config: Finetune | None = None) -> UUID:
        """Start a run of `finetune` with that configuration, or of a flow that takes none."""
        given = {} if config is None else parameters.of(config)
        with self.prefect.client() as client:
            made = client.create_flow_run_from_deployment(self.deployments[flow], parameters=given)
        return made.id

    def read(self, run: UUID) -> FlowRun:
        with self.prefect.client() as client:
            return client.read_flow_run(run)

    def becomes(self, run: UUID, state: str) -> FlowRun:
        """The run once it is in a state of that name; fails when it ends in another one."""

        def reached() -> FlowRun | None:
            found = client.read_flow_run(run)
            if found.state_name != state and found.state is not None and found.state.is_final():
                raise AssertionError(f"{found.name} is {found.state_name}: {found.state.message}")
            return found if found.state_name == state else None

        with self.prefect.client() as client:  # one for all looks: each new one asks for the server's version
            return until(reached, lambda: f"the run is {self.read(run).state_name}, not {state}: {self.log}")

    @property
    def log(self) -> Path:
        return self.prefect.home / "worker.log"


@contextmanager
def deployed(home: Path, workspace: Path, **extra: str) -> Iterator[Deployed]:
    """A Prefect server and a process worker while the block runs; `workspace` is the local one's state."""
    variables = {"AZUREML_LOCAL_STATE": str(workspace), "PREFECT_WORKER_QUERY_SECONDS": "1", **extra}
    with serving(home, **variables) as prefect:
        made = deploy(prefect)
        with working(prefect) as worker:
            yield Deployed(prefect, made, worker)


def deploy(prefect: PrefectServer) -> dict[str, UUID]:
    """The deployments of both flows, in a pool of their own."""
    make_pool(prefect)
    with prefect.client() as client:
        return {
            name: client.create_deployment(
                flow_id=client.create_flow_from_name(name),
                name="tests",
                work_pool_name=POOL,
                pull_steps=[{_SET_DIRECTORY: {"directory": str(ROOT)}}],
                entrypoint=f"flows/{name}.py:{name}",
                enforce_parameter_schema=False,
                # Only for the rule that a suspended run wants one: the tests say when the watcher looks.
                schedules=[_IN_A_YEAR] if name == "watch" else None,
            )
            for name in ("finetune", "watch")
        }
