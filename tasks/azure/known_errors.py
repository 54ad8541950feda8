"""Errors that users are known to meet, by Azure's own words."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.azure.failure import Cause


@dataclass(frozen=True)
class Known:
    """A failure users are known to meet: what its text looks like and what mends it."""

    pattern: str
    what: str
    do: str
    cause: Cause
    retryable: bool = False


# By the service's error codes, and by what users report of it.
KNOWN = (
    Known(
        # learn.microsoft.com/entra/identity-platform/reference-error-codes
        r"AADSTS7000222|client secret keys? .{0,60}expired",
        "The service principal's client secret has expired.",
        "Make another (az ad sp credential reset --id CLIENT-ID), and keep it in AZURE_CLIENT_SECRET or in "
        "the sign-in block.",
        cause=Cause.SIGN_IN,
    ),
    Known(
        r"AADSTS(700082|70043|50173|50078|700084)|refresh token has expired",
        "The sign-in has expired.",
        "Run `az login` again.",
        cause=Cause.SIGN_IN,
    ),
    Known(
        # Before the quota: a lack of capacity comes with the code OutOfQuota as well (documented).
        r"OutOfCapacity|AllocationFailed|ZonalAllocationFailed|lack of [\w ]{0,40}capacity",
        "Azure has no free machines of this size in the region at the moment.",
        "Run again later, or choose another size of the model's allow-list.",
        cause=Cause.CAPACITY,
        retryable=True,
    ),
    Known(
        r"Endpoint Quota reached",
        "The subscription has as many online endpoints as it may have.",
        "Delete those that nobody needs (`finetune reap` lists this project's), or ask Azure for more.",
        cause=Cause.QUOTA,
    ),
    Known(
        r"JobNodeCountExceedsCoreQuota|ClusterCoreQuotaReached|not enough quota|OutOfQuota|QuotaExceeded"
        r"|exceed(s|ed)? .{0,60}quota|quota of \d",
        "The subscription's quota does not leave room for this.",
        "Ask for more cores of the family in the studio (Quota), choose a smaller size or fewer nodes, or "
        "delete what is no longer used (`finetune reap`).",
        cause=Cause.QUOTA,
    ),
    Known(
        r"endpoint.{0,80}(already (in use|exists|taken))|already an endpoint with this name"
        r"|EndpointNameNotAvailable|NameUnavailable",
        "The endpoint's name is taken: names are unique within a region, across workspaces.",
        "Set deploy.endpoint to another name.",
        cause=Cause.NAME_TAKEN,
    ),
    Known(
        # A name that was deleted a moment ago answers a PUT like this (azure-cli-extensions #7660, #7107).
        r"NotFound.{0,80}InferencingClientCallFailed|InferencingClientCallFailed.{0,80}Not ?Found",
        "The endpoint's name is not free yet: it was deleted a moment ago.",
        "It is tried again.",
        cause=Cause.NAME_TAKEN,
        retryable=True,
    ),
    Known(
        # azure-sdk-for-net #36961, also when a GET has said Succeeded; and OperationCanceled as documented.
        r"in \w+ provisioning state|waiting for lock confirmation|operation that has a higher priority",
        "Another operation on the endpoint is under way.",
        "It is tried again.",
        cause=Cause.IN_USE,
        retryable=True,
    ),
    Known(
        r"ImageBuildFailure|ResourceNotReady|liveness|readiness probe|UserContainerStart|container.{0,40}"
        r"(crash|exited)|ModelProcessExited|DeploymentFailed",
        "The deployment's container did not become ready.",
        "Read its log below; a probe that gives up too early is mended by deploy.readiness.initial_delay.",
        cause=Cause.DEPLOYMENT,
    ),
    Known(
        r"KeyBasedAuthenticationNotPermitted|key.based authentication is not permitted",
        "The workspace's storage account refuses key access.",
        "Make the workspace identity-based and set compute.identity (docs/azure.md, Storage without keys), "
        "or allow keys.",
        cause=Cause.STORAGE,
    ),
    Known(
        # ScriptExecution.StreamAccess.Authentication of an input, WriteStreams of an output (users).
        r"ScriptExecution\.\w+\.Authentication",
        "The cluster's identity may not read or write the workspace's storage.",
        "Give it the role Storage Blob Data Contributor on the storage account, or set compute.identity to "
        "one that has it.",
        cause=Cause.STORAGE,
    ),
    Known(
        r"NoMatchingArtifactsFoundFromJob",
        "The job completed, but its model output holds no files.",
        "It may have been deleted since: run with --fresh to train again.",
        cause=Cause.MODEL,
    ),
    Known(
        r"cannot be recreated|can ?not be re-?created",
        "A model version of this number was deleted earlier, and Azure never gives a number out twice.",
        "Set registration.name to another name.",
        cause=Cause.NAME_TAKEN,
    ),
    Known(
        # Said when the number that the SDK was about to use has been taken since, for another model.
        r"already linked to an asset|asset paths cannot be updated|exists with another modelUri",
        "Another run is registering a version of the same model at this moment.",
        "It is tried again.",
        cause=Cause.IN_USE,
        retryable=True,
    ),
    Known(
        r"MissingSubscriptionRegistration|not registered to use namespace",
        "The subscription is not registered for Azure Machine Learning.",
        "Run: az provider register --namespace Microsoft.MachineLearningServices",
        cause=Cause.CONFIGURATION,
    ),
    Known(
        r"blob already exists|BlobAlreadyExists|UnderSpecifiedBlob|BlobImmutable",
        "Another job is uploading the same file at this moment.",
        "It is tried again.",
        cause=Cause.IN_USE,
        retryable=True,
    ),
    Known(
        r"Unknown cloud environment|cloud metadata could not be fetched|No clouds available",
        "The description of the cloud could not be read, or does not name this cloud.",
        "Check ARM_CLOUD_METADATA_URL and AZUREML_CURRENT_CLOUD.",
        cause=Cause.CONFIGURATION,
        retryable=True,
    ),
    Known(
        r"UnAuthorizedRegistryAccess|not allowed to access (the )?registry",
        "There is no such registry, or the signed-in identity may not read it.",
        "Check base.registry and pipeline.registry; reading one takes the role AzureML Registry User.",
        cause=Cause.PERMISSION,
    ),
    Known(
        r"AuthorizationFailed|does not have authorization",
        "The signed-in identity may not do this.",
        "Give it the roles AzureML Data Scientist and AzureML Compute Operator on the workspace.",
        cause=Cause.PERMISSION,
    ),
)
