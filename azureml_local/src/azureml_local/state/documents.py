"""What is kept of each resource: the kinds of documents in the store, and the shape of each kind.

The documents are JSON. Most have the shape in which Resource Manager shows the resource, so that a route
adds to them what is not kept; the functions here read what lies deep in that shape.
"""

from __future__ import annotations

from typing import Any, NotRequired, Required, TypedDict

from azureml_local.state.batch_documents import (
    BatchDeploymentDocument,
    BatchEndpointDocument,
    BatchJobDocument,
)
from azureml_local.state.document import Json, Kind, SystemData
from azureml_local.state.endpoint_documents import (
    DeploymentDocument,
    EndpointDocument,
    HeldNameDocument,
)
from azureml_local.state.job_documents import JobDocument, ScheduleDocument
from azureml_local.state.order import Order, at
from azureml_local.state.workspace_documents import (
    DeploymentOfTemplateDocument,
    GroupDocument,
    RegistryDocument,
    WorkspaceDocument,
)


class ScaleSettings(TypedDict):
    """How many nodes a cluster has, and after which ISO 8601 duration an idle one goes."""

    minNodeCount: int
    maxNodeCount: int
    nodeIdleTimeBeforeScaleDown: str


class ClusterSettings(TypedDict):
    """The settings of an AmlCompute, with every default filled in."""

    vmSize: str
    vmPriority: str
    osType: str
    scaleSettings: ScaleSettings
    remoteLoginPortPublicAccess: str
    enableNodePublicIp: bool
    isolatedNetwork: bool
    enableBatchPrivateLink: bool
    subnet: Json | None
    virtualMachineImage: Json | None
    userAccountCredentials: NotRequired[Json]


class ClusterProperties(TypedDict):
    """What the service shows of a compute beside its settings."""

    computeType: str
    description: str | None
    disableLocalAuth: bool
    createdOn: str
    modifiedOn: str
    provisioningState: str
    properties: ClusterSettings


class ClusterDocument(TypedDict):
    """A compute cluster."""

    name: str
    tags: dict[str, str]
    location: str
    identity: Json | None
    properties: ClusterProperties


class AssetDocument(TypedDict):
    """A version of an asset; what its properties are depends on the collection (see assets/kinds.py)."""

    name: str
    version: str
    properties: Json
    systemData: SystemData


class DatastoreProperties(TypedDict, total=False):
    """What a datastore is a name for, and what its maker says of it.

    One of `containerName`, `fileShareName` and `filesystem` is there, by its type; without an `accountName`
    it is in the workspace's own account. `credentials` are what may be shown of them beside their type.
    """

    datastoreType: Required[str]
    credentialsType: str
    credentials: Json
    containerName: str
    fileShareName: str
    filesystem: str
    accountName: str
    endpoint: str
    protocol: str
    description: str | None
    properties: dict[str, str] | None
    tags: dict[str, str]


class DatastoreDocument(TypedDict):
    """A name for a place in a storage account."""

    properties: DatastoreProperties
    createdAt: str
    secrets: NotRequired[Json]


class ConnectionDocument(TypedDict):
    """An address of another service, and the credentials that open it; these are shown to no list."""

    properties: Json
    credentials: Json | None


class TransitionDocument(TypedDict):
    """A `transitions.Transition`."""

    during: str
    after: str | None
    seconds: float


class OperationDocument(TypedDict):
    """A long operation on the document `name` of the kind `kind`; `started` in seconds since the epoch."""

    kind: str
    name: str
    transition: TransitionDocument
    works: bool
    status: str
    startTime: str
    started: float
    endTime: str | None
    error: Json | None


class LedgerDocument(TypedDict):
    """A row of the ledger without its id; see `ledger.Row`."""

    kind: str
    name: str
    vm_size: str
    hourly_price: float
    owner: str
    started: float
    ready: NotRequired[float]
    stopped: float | None
    uses: NotRequired[int]


class QuotaDocument(TypedDict):
    """A limit that was set by hand."""

    limit: int


class ProviderDocument(TypedDict):
    """How far the subscription's registration for a resource provider is."""

    registrationState: str


class CounterDocument(TypedDict):
    """The last number given out."""

    value: int


class CompletedStepDocument(TypedDict):
    """The job that has completed a step, kept under the step's fingerprint."""

    job: str


class BlobDocument(TypedDict):
    """What a file cannot say of the blob that it is, true while its `mtime_ns` is that one.

    It is written before the file takes its place: until then what was `before` is true.
    """

    mtime_ns: int
    metadata: dict[str, str]
    content_type: str | None
    content_md5: str | None
    before: NotRequired[BlobDocument]


class FolderDocument(TypedDict):
    """What the disk cannot say of a folder in a file system."""

    metadata: dict[str, str]


WORKSPACES = Kind[WorkspaceDocument]("workspaces")  # by GROUP/NAME, as the following
GROUPS = Kind[GroupDocument]("groups")
REGISTRIES = Kind[RegistryDocument]("registries")
TEMPLATES = Kind[DeploymentOfTemplateDocument]("templates")
DEPENDENT = Kind[Json](
    "dependent-resources"
)  # what a workspace is made of besides, by TYPE/NAME of its group
JOBS = Kind[JobDocument]("jobs")
SCHEDULES = Kind[ScheduleDocument]("schedules")
CLUSTERS = Kind[ClusterDocument]("computes")
ALLOCATION_ERRORS = Kind[Json]("allocationErrors")  # why a cluster gets no nodes at the moment
COMPUTE_INSTANCES = Kind[Json]("computeInstances")  # as Resource Manager shows them
ENDPOINTS = Kind[EndpointDocument]("onlineEndpoints")
HELD_NAMES = Kind[HeldNameDocument]("held-endpoint-names")  # that no endpoint can be made under
DEPLOYMENTS = Kind[DeploymentDocument]("deployments")
BATCH_ENDPOINTS = Kind[BatchEndpointDocument]("batchEndpoints")
BATCH_DEPLOYMENTS = Kind[BatchDeploymentDocument]("batchDeployments")
BATCH_JOBS = Kind[BatchJobDocument]("batchJobs")
BATCH_COMPONENTS = Kind[AssetDocument]("batchComponents")  # what their jobs run, as no client has written it
DATASTORES = Kind[DatastoreDocument]("datastores")
CONNECTIONS = Kind[ConnectionDocument]("connections")
BLOBS = Kind[BlobDocument]("blobs", case_sensitive=True)
FOLDERS = Kind[FolderDocument]("folders", case_sensitive=True)
OPERATIONS = Kind[OperationDocument]("operations")
LEDGER = Kind[LedgerDocument]("ledger")
QUOTAS = Kind[QuotaDocument]("quotas")
PROVIDERS = Kind[ProviderDocument]("providers")
COUNTERS = Kind[CounterDocument]("counters")
SEEDS = Kind[Json]("seeds")  # that have been planted
COMPLETED_STEPS = Kind[CompletedStepDocument]("completed-steps")
MLFLOW_MODELS = Kind[Json]("mlflow-models")  # aliases and stages, which MLflow alone has
TRACKED_RUNS = Kind[Json]("tracked-runs")  # what MLflow has heard of each run

_NUMBER = at("$.number")  # of a job: the newest have the highest
ROOT_JOBS = Order("root jobs", JOBS, _NUMBER, lacking="$.parent")
UNFINISHED_JOBS = Order("unfinished jobs", JOBS, _NUMBER, lacking="$.ended")
JOBS_RUN_HERE = Order("jobs run here", JOBS, _NUMBER, lacking="$.foreign")
# What is billed without an end comes last, before it what ends last.
BILLED_BY_END = Order(
    "billed by end",
    LEDGER,
    f"coalesce(CAST({at('$.stopped')} * 1000000 AS INTEGER), {2**63 - 1})",
    group="$.name",
    at_once=4,  # few are billed at a time
)
UNFINISHED_OPERATIONS = Order("unfinished operations", OPERATIONS, at("$.started"), lacking="$.endTime")

COLLECTIONS = ("models", "data", "codes", "environments", "components")  # of assets
_CREATED = at("$.systemData.createdAt")
_VERSION = at("$.version")
# A version that is a number, as text that sorts as the number does, of whatever length.
_NUMERAL = (
    f"CASE WHEN {_VERSION} NOT GLOB '*[^0-9]*' "
    f"THEN printf('%03d', length(ltrim({_VERSION}, '0'))) || ltrim({_VERSION}, '0') END"
)


def assets(collection: str, *, registry: bool = False) -> Kind[AssetDocument]:
    """The versions of a collection such as "models", of the workspace or of the registry."""
    return Kind(f"registry/{collection}" if registry else collection)


def is_of_registry(kind: Kind[Any]) -> bool:
    """Whether these are a registry's documents, which no workspace has for itself."""
    return kind.name.startswith("registry/")


def by_age(kind: Kind[AssetDocument]) -> Order[AssetDocument]:
    """The versions of each name, by when they were made."""
    return Order(f"{kind.name} by age", kind, _CREATED, group="$.name")


def by_hash(kind: Kind[AssetDocument]) -> Order[AssetDocument]:
    """The versions of each content, by when they were made."""
    return Order(f"{kind.name} by hash", kind, _CREATED, group="$.properties.properties.hash_sha256")


def by_number(kind: Kind[AssetDocument]) -> Order[AssetDocument]:
    """The versions of each name that are numbers, by these."""
    return Order(f"{kind.name} by number", kind, _NUMERAL, group="$.name")


def orders() -> list[Order[Any]]:
    """All orders in which documents are read."""
    kinds = [assets(name, registry=registry) for name in COLLECTIONS for registry in (False, True)]
    found: list[Order[Any]] = [ROOT_JOBS, UNFINISHED_JOBS, JOBS_RUN_HERE]
    found += [UNFINISHED_OPERATIONS, BILLED_BY_END]
    return found + [order for kind in kinds for order in (by_age(kind), by_hash(kind), by_number(kind))]


def shared_by_versions(kind: Kind[AssetDocument]) -> Kind[Json]:
    """What all versions of a name have in common, where somebody has set it."""
    return Kind(f"{kind.name}.names")


Provisioned = (
    ClusterDocument | EndpointDocument | DeploymentDocument | BatchEndpointDocument | BatchDeploymentDocument
)


def provisioning_state(document: Provisioned) -> str:
    """The state that long operations move: Succeeded, Failed, or what is under way."""
    return document["properties"]["provisioningState"]


def cluster_settings(cluster: ClusterDocument) -> ClusterSettings:
    """Size, priority and scale of the cluster."""
    return cluster["properties"]["properties"]


def instances(deployment: DeploymentDocument) -> int:
    """The number of the deployment's instances."""
    return deployment["sku"]["capacity"]


def instance_type(deployment: DeploymentDocument) -> str:
    """The VM size of the deployment's instances."""
    return deployment["properties"]["instanceType"]


def auth_mode(endpoint: EndpointDocument) -> str:
    """What the endpoint asks of a caller: Key, AMLToken or AADToken."""
    return endpoint["properties"]["authMode"]
