"""The workspace put together: its state, and what executes in it."""

from __future__ import annotations

from dataclasses import dataclass, field

from azureml_local.execution.deployments import Deployments
from azureml_local.execution.jobs import Jobs
from azureml_local.execution.router import Router
from azureml_local.execution.tracking import Tracking
from azureml_local.settings import Settings
from azureml_local.state.documents import ENDPOINTS
from azureml_local.state.stay import staying
from azureml_local.state.workspace import WorkspaceState


@dataclass(frozen=True, kw_only=True)
class Workspace(WorkspaceState):
    """A workspace that works: its state, with jobs, deployments, scoring and tracking over it."""

    jobs: Jobs
    deployments: Deployments
    router: Router
    tracking: Tracking
    seen: set[str] = field(default_factory=set)  # young jobs, see wire/first_look.py

    @classmethod
    def open(cls, settings: Settings) -> Workspace:
        """Open the state directory, making what is missing; nothing runs before `start`."""
        state = WorkspaceState.open(settings)
        tracking = Tracking(settings, state.store)
        deployments = Deployments(state)
        return Workspace(
            **vars(state),
            jobs=Jobs(state, tracking),
            deployments=deployments,
            router=Router(state.store, deployments.servers),
            tracking=tracking,
        )

    def start(self) -> None:
        """Go on with what a previous server left unfinished."""
        self.operations.resume()
        self.deployments.resume()
        self.jobs.resume()

    def in_use(self) -> dict[str, list[str]]:
        """What keeps the workspace up when nobody holds it: live jobs, and the endpoints that are kept."""
        endpoints = ((name, document["tags"]) for name, document in self.store.list(ENDPOINTS))
        return {
            "jobs": self.jobs.records.unfinished(),
            "endpoints": staying(self.settings.state, endpoints, self.clock.now()),
        }

    def close(self) -> None:
        """Let go of jobs, whose processes run on, and end MLflow and the model servers."""
        self.jobs.close()
        self.tracking.close()
        self.deployments.close()
        super().close()
