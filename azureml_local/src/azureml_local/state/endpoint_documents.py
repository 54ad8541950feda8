"""What is kept of endpoints and their deployments; see documents.py for the kinds of all resources."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from azureml_local.state.document import Json, SystemData


class Envelope(TypedDict):
    """What stands beside the properties of an endpoint or a deployment."""

    tags: dict[str, str]
    location: str
    systemData: SystemData
    identity: NotRequired[Json]


class EndpointProperties(TypedDict):
    """An endpoint's settings; traffic in per cent by the name of the deployment."""

    description: str | None
    properties: dict[str, str]
    authMode: str
    publicNetworkAccess: str
    compute: None
    traffic: dict[str, int]
    mirrorTraffic: dict[str, int]
    provisioningState: str


class EndpointKeys(TypedDict):
    """The two keys of an endpoint."""

    primaryKey: str
    secondaryKey: str


class EndpointDocument(Envelope):
    """A managed online endpoint."""

    name: str
    kind: str
    properties: EndpointProperties
    keys: EndpointKeys


class HeldNameDocument(TypedDict):
    """Why an endpoint's name cannot be had: it is somebody else's, or has been deleted a while ago.

    `until` is in seconds since the epoch, None for ever; while it is held, a PUT is told that the name is
    taken, or where it is `missing` that there is no such thing.
    """

    until: float | None
    missing: bool


class Sku(TypedDict):
    """A deployment's tier and number of instances."""

    name: str
    tier: str
    capacity: int


class CodeSettings(TypedDict):
    """A deployment's code asset and the scoring script in it."""

    codeId: str
    scoringScript: str


class RequestSettings(TypedDict):
    """How a deployment takes requests; ISO 8601 durations."""

    maxQueueWait: str
    requestTimeout: str
    maxConcurrentRequestsPerInstance: int


class ProbeSettings(TypedDict):
    """How a container is probed; ISO 8601 durations."""

    failureThreshold: int
    successThreshold: int
    timeout: str
    period: str
    initialDelay: str


class DeploymentSettings(TypedDict):
    """What a deployment's request says, with every default filled in."""

    description: str | None
    properties: dict[str, str]
    codeConfiguration: CodeSettings | None
    environmentId: str | None
    environmentVariables: dict[str, str]
    scaleSettings: Json
    requestSettings: RequestSettings
    modelMountPath: str | None
    appInsightsEnabled: bool
    livenessProbe: ProbeSettings
    readinessProbe: ProbeSettings
    instanceType: str
    model: str | None
    egressPublicNetworkAccess: str
    dataCollector: Json | None
    endpointComputeType: str


class DeploymentProperties(DeploymentSettings):
    """A deployment's settings and its state."""

    provisioningState: str


class DeploymentDocument(Envelope):
    """A managed online deployment, kept as ENDPOINT/DEPLOYMENT.

    `serving` and `starting` are the directories of the server that answers and of the one on its way.
    """

    name: str
    endpoint: str
    kind: str
    sku: Sku
    properties: DeploymentProperties
    serving: NotRequired[str | None]
    starting: NotRequired[str | None]
