"""Where a local workspace keeps its state and what it is called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal
from uuid import NAMESPACE_URL, uuid5

# What the first workspace is called besides its name: fixed, so that asset ids mean the same everywhere.
WORKSPACE_GUID = "11111111-1111-1111-1111-111111111111"
Pace = Literal["instant", "real", "manual"]
Storage = Literal["keys", "identity"]
Build = Literal["node", "uv"]

PROVIDER = "Microsoft.MachineLearningServices"

# Azure creates these with every workspace: datastore name -> container, and -> file share, before its GUID.
CONTAINERS = {"workspaceblobstore": "azureml-blobstore", "workspaceartifactstore": "azureml"}
SHARES = {"workspacefilestore": "azureml-filestore-", "workspaceworkingdirectory": "code-"}
DEFAULT_DATASTORE = "workspaceblobstore"
ARTIFACT_DATASTORE = "workspaceartifactstore"
# What the registry offers from the start lies in this one.
REGISTRY_CONTAINER = "registry-models"
# The path below which endpoints answer scoring requests.
INFERENCE = "/inference"


@dataclass(frozen=True)
class Scenario:
    """What a workspace is like: who may do what in it, which the tests of its clients want to vary.

    `permissions` names a preset or a file with roles (see state/access.py); `seed` a seed, or a file with
    other people's things (see wire/seed_file.py). With the storage `identity` the workspace's account refuses
    keys: everybody comes with a token of an identity, clients with their own and steps with their cluster's.
    The registry is as it was on the day `as_of`. Jobs and scoring scripts run in the node's Python
    (`node`), the server's own or `node_python`, or in environments that `uv` builds by their conda files.
    `external` says where data of public addresses comes
    from: `none`, `fetch`, or a file of rules (see state/external_data.py). What is answered survives kill -9
    of the server, and where it is `durable` a power cut.
    """

    permissions: str = "owner"
    seed: str | None = None
    storage: Storage = "keys"
    as_of: date | None = None
    environments: Build = "node"
    external: str = "none"
    durable: bool = False
    node_python: Path | None = None

    def options(self) -> list[str]:
        """The same for the command line."""
        options = ["--permissions", self.permissions, "--storage", self.storage]
        options += ["--environments", self.environments, "--external", self.external]
        options += ["--durable"] if self.durable else []
        options += [] if self.node_python is None else ["--node-python", str(self.node_python.absolute())]
        options += [] if self.seed is None else ["--seed", self.seed]
        return options if self.as_of is None else [*options, "--as-of", self.as_of.isoformat()]


@dataclass(frozen=True)
class Settings:
    """Names, addresses and directories of one local workspace.

    `pace` says how long operations take: `instant` not at all, `real` seconds as on Azure, `manual` until
    somebody steps them through the admin route. A workspace beside the first has a `state` of its own and
    shares with it what lies in the server's state, `root`; `storage` is the name of its storage account.
    """

    state: Path
    port: int
    pace: Pace = "instant"
    scenario: Scenario = Scenario()
    subscription_id: str = "00000000-0000-0000-0000-000000000001"
    resource_group: str = "local"
    workspace: str = "local"
    registry: str = "azureml"
    location: str = "local"
    tenant_id: str = "00000000-0000-0000-0000-00000000000a"
    storage_suffix: str = "core.windows.net"
    storage: str = "local"
    root: Path | None = None
    document_limit: int = 8 * 2**20  # bytes of one JSON body
    blob_limit: int = 64 * 2**30  # bytes of one upload request

    def at(self, port: int) -> Settings:
        """The same workspace on another port."""
        return replace(self, port=port)

    def beside(self, group: str, workspace: str, storage: str, location: str) -> Settings:
        """Those of another workspace of this server."""
        other = replace(self, resource_group=group, workspace=workspace, storage=storage, location=location)
        other = replace(other, root=self.server_state)
        return replace(other, state=self.server_state / "workspaces" / other.guid)

    def of_registry(self, group: str, registry: str, location: str) -> Settings:
        """Those of another registry of this server, whose files and documents are kept as a workspace's."""
        account = "".join(filter(str.isalnum, registry.lower()))
        other = self.beside(group, registry, account, location)
        return replace(other, registry=registry, state=self.server_state / "registries" / other.guid)

    @property
    def guid(self) -> str:
        """What the workspace is called besides its name."""
        if self.root is None:
            return WORKSPACE_GUID
        return str(uuid5(NAMESPACE_URL, f"{self.resource_group}/{self.workspace}".lower()))

    @property
    def server_state(self) -> Path:
        """What all workspaces of the server share: secrets, certificates, what can be made again."""
        return self.root or self.state

    @property
    def base_url(self) -> str:
        """Where the server answers."""
        return f"https://localhost:{self.port}"

    @property
    def cloud(self) -> str:
        """The cloud's name. It differs by port, because azure-ai-ml keeps what it once learned of a name."""
        return f"AzureLocal{self.port}"

    @property
    def workspace_arm_id(self) -> str:
        """The workspace's id in Resource Manager."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/workspaces/{self.workspace}"
        )

    @property
    def storage_account_arm_id(self) -> str:
        """The id in Resource Manager of the workspace's storage account."""
        group_id = self.workspace_arm_id.split(f"/providers/{PROVIDER}")[0]
        return f"{group_id}/providers/Microsoft.Storage/storageAccounts/{self.storage}"

    @property
    def registry_arm_id(self) -> str:
        """The registry's id in Resource Manager."""
        return (
            f"/subscriptions/{self.subscription_id}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/registries/{self.registry}"
        )

    @property
    def tracking_uri(self) -> str:
        """What the workspace answers as mlFlowTrackingUri; azureml-mlflow turns it into https."""
        return f"azureml://localhost:{self.port}/mlflow/v1.0{self.workspace_arm_id}"

    @property
    def account(self) -> str:
        """The storage account's name, chosen so that the SDK's https://ACCOUNT.blob.SUFFIX needs no DNS."""
        return f"localhost:{self.port}/{self.storage}"

    @property
    def blob_path(self) -> str:
        """The path below which the storage account answers, path style."""
        return f"/{self.storage}.blob.{self.storage_suffix}"

    @property
    def dfs_path(self) -> str:
        """The path below which its file systems answer, in the same style."""
        return f"/{self.storage}.dfs.{self.storage_suffix}"

    @property
    def blob_url(self) -> str:
        """Where the storage account answers."""
        return self.base_url + self.blob_path

    @property
    def database_path(self) -> Path:
        """The documents of all resources."""
        return self.state / "workspace.sqlite"

    @property
    def blobs_path(self) -> Path:
        """Committed blobs: one directory a container, plain files below it."""
        return self.state / "blobs"

    @property
    def uploads_path(self) -> Path:
        """Uploads under way; nothing here is visible to a client."""
        return self.state / "uploads"

    @property
    def jobs_path(self) -> Path:
        """Working directories of job nodes."""
        return self.state / "jobs"

    @property
    def checkpoints_path(self) -> Path:
        """Where steps keep what their next attempt goes on from."""
        return self.state / "checkpoints"

    @property
    def deployments_path(self) -> Path:
        """Working directories and logs of deployments."""
        return self.state / "deployments"

    @property
    def cache_path(self) -> Path:
        """What can be made again: registry models' weights, for one."""
        return self.server_state / "cache"

    @property
    def registry_models_path(self) -> Path:
        """The folders of the registry's own models, as far as the catalogue has made them."""
        return self.cache_path / "models"

    @property
    def ca_path(self) -> Path:
        """The certificate authority alone, PEM."""
        return self.server_state / "tls" / "ca.pem"

    @property
    def bundle_path(self) -> Path:
        """The certificate authority beside the public ones, PEM: what SSL_CERT_FILE is set to."""
        return self.server_state / "tls" / "bundle.pem"

    @property
    def authorities_path(self) -> Path:
        """The same authorities, a file each, as OpenSSL looks for them: what REQUESTS_CA_BUNDLE is set to."""
        return self.server_state / "tls" / "authorities"

    @property
    def secrets_path(self) -> Path:
        """Signing key and admin secret."""
        return self.server_state / "secrets.json"

    @property
    def address_path(self) -> Path:
        """Written by a server once it listens: where it is and its process id."""
        return self.server_state / "server.json"

    @property
    def log_path(self) -> Path:
        """What a server that was started in the background writes."""
        return self.server_state / "server.log"
