"""What is kept of batch endpoints, their deployments and the jobs that they were asked for."""

from __future__ import annotations

from typing import TypedDict

from azureml_local.state.document import Json
from azureml_local.state.endpoint_documents import CodeSettings, Envelope


class BatchEndpointProperties(TypedDict):
    """A batch endpoint's settings; `defaults` names the deployment that answers where a caller names none."""

    description: str | None
    properties: dict[str, str]
    authMode: str
    defaults: dict[str, str | None]
    provisioningState: str


class BatchEndpointDocument(Envelope):
    """A batch endpoint."""

    name: str
    properties: BatchEndpointProperties


class BatchRetrySettings(TypedDict):
    """How often a mini batch is tried, and the ISO 8601 duration that one try may take."""

    maxRetries: int
    timeout: str


class BatchDeploymentSettings(TypedDict):
    """What a batch deployment's request says, with every default filled in.

    `deploymentConfiguration` is that of a pipeline component; `model` and `codeConfiguration` are a model's.
    """

    description: str | None
    properties: dict[str, str]
    codeConfiguration: CodeSettings | None
    environmentId: str | None
    environmentVariables: dict[str, str]
    compute: str | None
    deploymentConfiguration: Json | None
    errorThreshold: int
    loggingLevel: str
    maxConcurrencyPerInstance: int
    miniBatchSize: int
    model: Json | None
    outputAction: str
    outputFileName: str
    resources: Json
    retrySettings: BatchRetrySettings


class BatchDeploymentProperties(BatchDeploymentSettings):
    """A batch deployment's settings and its state."""

    provisioningState: str


class BatchDeploymentDocument(Envelope):
    """A batch deployment, kept as ENDPOINT/DEPLOYMENT."""

    name: str
    endpoint: str
    properties: BatchDeploymentProperties


class BatchJobDocument(TypedDict):
    """What a batch endpoint was asked for, kept as ENDPOINT/JOB beside the job that does it.

    `request` is the id by which a client repeats a request that was not answered, None where it sent none.
    """

    name: str
    deployment: str
    request: str | None
    properties: Json
