"""What is kept of one workspace: the part of it that every route and every execution sees."""

from __future__ import annotations

from dataclasses import dataclass, field

from azureml_local.settings import REGISTRY_CONTAINER, Settings
from azureml_local.state import access, external_data
from azureml_local.state.access import Access
from azureml_local.state.blobs import Blobs
from azureml_local.state.blocks import Blocks
from azureml_local.state.branch import BranchStore
from azureml_local.state.clock import Clock
from azureml_local.state.external_data import ExternalData
from azureml_local.state.faults import Faults
from azureml_local.state.file_systems import FileSystems
from azureml_local.state.ledger import Ledger
from azureml_local.state.operations import Operations
from azureml_local.state.store import Store
from azureml_local.state.tokens import Secrets, Tokens


@dataclass(frozen=True, kw_only=True)
class WorkspaceState:
    """One workspace's settings, secrets, documents, blobs, time, roles, operations, ledger and faults."""

    settings: Settings
    secrets: Secrets
    store: Store
    blobs: Blobs
    blocks: Blocks
    file_systems: FileSystems
    clock: Clock
    tokens: Tokens
    access: Access
    operations: Operations
    ledger: Ledger
    external: ExternalData
    faults: Faults = field(default_factory=Faults)
    first: WorkspaceState | None = None  # of the server's workspaces, where this is another
    registries: dict[str, WorkspaceState] = field(default_factory=dict)  # beside the first one's, by name

    @classmethod
    def open(cls, settings: Settings, first: WorkspaceState | None = None) -> WorkspaceState:
        """Open the state directory, making what is missing; time, roles, faults, secrets are the first's."""
        settings.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, durable = settings.database_path, settings.scenario.durable
        store = (
            BranchStore(path, first.store, durable=durable)
            if first and settings.registry == first.settings.registry
            else Store(path, durable=durable)
        )
        try:
            return cls._over(store, settings, first)
        except BaseException:  # something beside the database cannot be used
            store.close()
            raise

    @classmethod
    def _over(cls, store: Store, settings: Settings, first: WorkspaceState | None) -> WorkspaceState:
        clock = first.clock if first else Clock()
        secrets = first.secrets if first else Secrets.of(settings.secrets_path)
        lent = {REGISTRY_CONTAINER: settings.registry_models_path}
        durable = settings.scenario.durable
        blobs = Blobs(settings.blobs_path, settings.uploads_path, store, lent=lent, durable=durable)
        return cls(
            settings=settings,
            secrets=secrets,
            store=store,
            blobs=blobs,
            blocks=Blocks(settings.uploads_path, blobs),
            file_systems=FileSystems(store, blobs),
            clock=clock,
            tokens=Tokens(settings, secrets, clock),
            access=first.access if first else Access(access.read(settings.scenario.permissions)),
            operations=Operations(store, clock, settings.pace, settings.guid),
            ledger=Ledger(store, clock),
            external=ExternalData(
                external_data.read(settings.scenario.external), settings.cache_path / "external"
            ),
            faults=first.faults if first else Faults(),
            first=first,
            registries=first.registries if first else {},
        )

    def close(self) -> None:
        """Stop the operations' timers and close the database."""
        self.operations.close()
        self.store.close()
