"""Runs put into a Prefect server as if workers had run them, in whatever state a test needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType

_OVER = [StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED]


@dataclass
class PastRuns:
    """Makes runs and deployments, and deletes them with the test."""

    client: SyncPrefectClient
    runs: list[UUID] = field(default_factory=list)
    deployments: list[UUID] = field(default_factory=list)

    def deploy(self, name: str, **options: Any) -> UUID:
        """A deployment of a flow of that name."""
        flow_id = self.client.create_flow(flow(name=name)(print))
        made = self.client.create_deployment(flow_id, f"past-{uuid4().hex[:8]}", **options)
        self.deployments.append(made)
        return made

    def of(self, deployment: UUID, *states: State[Any], **options: Any) -> FlowRun:
        """A run of the deployment that has gone through these states."""
        run = self.client.create_flow_run_from_deployment(deployment, **options)
        self.runs.append(run.id)
        for state in states:
            self.client.set_flow_run_state(run.id, state, force=True)
        return self.read(run.id)

    def alone(self, name: str, state: State[Any]) -> FlowRun:
        """A run of somebody's own process."""
        run = self.client.create_flow_run(flow(name=name)(print), state=state)
        self.runs.append(run.id)
        return self.read(run.id)

    def read(self, run: UUID) -> FlowRun:
        return self.client.read_flow_run(run)

    def forget_live(self) -> None:
        """Delete what other tests have left on the server that has, or may get, a process."""
        live = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(not_any_=_OVER)))
        while found := self.client.read_flow_runs(flow_run_filter=live):
            for run in found:
                self.client.delete_flow_run(run.id)

    def state(self, run: FlowRun) -> str | None:
        """The name of the state that the run is in by now."""
        return self.read(run.id).state_name


@contextmanager
def past_runs() -> Iterator[PastRuns]:
    with get_client(sync_client=True) as client:
        made = PastRuns(client)
        try:
            yield made
        finally:
            for run in made.runs:
                client.delete_flow_run(run)
            for deployment in made.deployments:
                client.delete_deployment(deployment)
