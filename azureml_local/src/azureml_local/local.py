"""One local workspace: its settings, its state, and what executes in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from azureml_local.settings import REGISTRY_CONTAINER, Settings
from azureml_local.state.blobs import Blobs
from azureml_local.state.clock import Clock
from azureml_local.state.faults import Faults
from azureml_local.state.ledger import Ledger
from azureml_local.state.operations import Operations
from azureml_local.state.store import Store
from azureml_local.state.tokens import Secrets, Tokens

if TYPE_CHECKING:
    from azureml_local.execution.deployments import Endpoints
    from azureml_local.execution.jobs import Jobs
    from azureml_local.execution.tracking import Tracking

FINAL_JOB_STATES = frozenset({"Completed", "Failed", "Canceled", "NotResponding", "Paused"})


@dataclass
class Local:
    """What every route and every execution sees."""

    settings: Settings
    secrets: Secrets
    store: Store
    blobs: Blobs
    clock: Clock
    tokens: Tokens
    operations: Operations
    ledger: Ledger
    faults: Faults = field(default_factory=Faults)
    endpoints: Endpoints = field(init=False)
    tracking: Tracking = field(init=False)
    jobs: Jobs = field(init=False)

    @classmethod
    def open(cls, settings: Settings) -> Local:
        """Open the state directory, making what is missing."""
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        clock = Clock()
        store = Store(settings.database_path)
        secrets = Secrets.of(settings.secrets_path)
        here = cls(
            settings=settings,
            secrets=secrets,
            store=store,
            blobs=Blobs(
                settings.blobs_path,
                settings.uploads_path,
                store,
                lent={REGISTRY_CONTAINER: settings.registry_models_path},
            ),
            clock=clock,
            tokens=Tokens(settings, secrets, clock),
            operations=Operations(store, clock, settings.pace),
            ledger=Ledger(store),
        )
        # Late: what executes in a workspace knows the workspace.
        from azureml_local.execution.deployments import Endpoints
        from azureml_local.execution.jobs import Jobs
        from azureml_local.execution.tracking import Tracking

        here.endpoints = Endpoints(here)
        here.tracking = Tracking(settings, here.store)
        here.jobs = Jobs(here, here.tracking)
        return here

    def start(self) -> None:
        """Go on with what a previous server left unfinished."""
        self.operations.resume()
        self.endpoints.resume()
        self.jobs.resume()

    def live_jobs(self) -> list[str]:
        """The names of jobs that have not ended."""
        return [
            name
            for name, document in self.store.list("jobs")
            if document["properties"].get("status") not in FINAL_JOB_STATES
        ]

    def close(self) -> None:
        self.jobs.close()
        self.tracking.close()
        self.endpoints.close()
        self.operations.close()
        self.store.close()
