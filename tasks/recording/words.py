"""What a recording may hold as it was said: closed lists of words. Everything else is a kind or a gap.

Words of the service and of its SDKs only, from Azure's OpenAPI documents, recorded traffic and client code.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Values: states, error codes, kinds and enumerations.
VALUES = _words(
    """
    NotStarted Queued Unapproved Starting Provisioning Preparing Running Finalizing CancelRequested
    Completed Failed Canceled Cancelled NotResponding Paused Creating Updating Deleting Succeeded
    InProgress Accepted Scaling Unknown Steady Resizing Idle Leaving Unusable Active Archived None
    NoneType NotReady Ready Healthy FINISHED RUNNING SCHEDULED FAILED KILLED ACTIVE

    UserError SystemError BadRequest BadArgument ArgumentInvalid NotFound ResourceNotFound
    ResourceGroupNotFound SubscriptionNotFound InvalidSubscriptionId Conflict ConflictingRequest
    Forbidden Unauthorized AuthorizationFailed AuthenticationFailed InvalidAuthenticationToken
    ExpiredAuthenticationToken TooManyRequests ResourceRequestsThrottled
    SubscriptionRequestsThrottled InternalServerError ServiceError ServiceUnavailable GatewayTimeout
    RequestTimeout ValidationError InvalidInput InvalidResourceType MissingSubscriptionRegistration
    InferencingClientCallFailed InferencingClientCreateDeploymentFailed EndpointNotFound
    ResourceNotReady ImageBuildFailure OutOfQuota OutOfCapacity OperationCanceled OperationFailed
    QuotaExceeded ClusterCoreQuotaReached JobPropertyImmutable Immutable UpdateComponentFailed
    ComponentNotFound UnAuthorizedRegistryAccess KeyBasedAuthenticationNotPermitted BlobNotFound
    ContainerNotFound BlobAlreadyExists ResourceOperationFailure PreconditionFailed MethodNotAllowed
    RESOURCE_DOES_NOT_EXIST RESOURCE_ALREADY_EXISTS INVALID_PARAMETER_VALUE ENDPOINT_NOT_FOUND
    PERMISSION_DENIED

    Correlation Environment Location Time ComponentName InnerError managementfrontend account-rp
    RegionalInferencing AmlCompute ComputeInstance Kubernetes VirtualMachine Pipeline Command Sweep
    AutoML Spark Labeling Base pipeline command Managed K8S Key AMLToken AADToken Default Standard
    Basic Dedicated LowPriority dedicated low_priority Enabled Disabled NotSpecified Linux Windows
    SystemAssigned UserAssigned User Application ManagedIdentity Delegated AzureBlob AzureFile
    AzureDataLakeGen2 AzureDataLakeGen1 Sas AccountKey accessKey identity Identity
    WorkspaceSystemAssignedIdentity WorkspaceUserAssignedIdentity ServicePrincipal TensorFlow
    PyTorch Mpi uri_folder uri_file UriFolder UriFile mltable MLTable mlflow_model custom_model
    triton_model literal string integer number boolean ReadOnlyMount ReadWriteMount Download Upload
    Direct EvalMount EvalDownload PythonScriptStep CommandStep SubGraphCloudStep SubGraphCloud
    SubGraphCloudModule azureml.StepRun azureml.PipelineRun azureml.scriptrun azureml.HyperDrive
    scriptRun remote AlmostCommonRuntime CommonRuntime OsType:Linux Execution Aether AmlcTrain
    amlcompute amlctrain masterescloud Studio Tracking local job InferenceServer StorageInitializer
    Count Bytes standard spot LOCAL NOTEBOOK active deleted Development Production SAS
    TemporaryBlobReference JOB PROJECT RECIPE Hub Project FeatureStore True False true false
    """
)

# Keys where people may choose any: those that the service itself writes. Of others only the family is kept.
CHOSEN_KEYS = _words(
    """
    StepType ComputeTargetType ContentSnapshotId ProcessInfoFile ProcessStatusFile runSource runType
    stages azureml.runsource azureml.nodeid azureml.nodeName azureml.pipeline azureml.pipelineid
    azureml.pipelinerunid azureml.pipelineComponent azureml.parameters
    azureml.continue_on_step_failure azureml.continue_on_failed_optional_input
    azureml.defaultComputeName azureml.defaultDataStoreName azureml.pipelines.stages
    azureml.SourceComponentId azureml.SourceComponentAssetId azureml.moduleid azureml.moduleName
    azureml.moduleVersion azureml.rootpipelinerunid azureml.isreused azureml.reusedrunid
    azureml.reusednodeid azureml.reusedpipeline azureml.reusedpipelinerunid azureml.enforceRerun
    azureml.DevPlatv2 azureml.git.dirty azureml.ComputeDuration azureml.RuntimeType azureml.jobtype
    azureml.batchrun azureml.deploymentname azureml.hasCustomRunTags azureml.IsCommandJob
    _azureml.ComputeTargetType _aml_system_ComputeTargetStatus _aml_system_scenario
    _azureml.ClusterName mlflow.parentRunId mlflow.rootRunId mlflow.user mlflow.runName
    mlflow.source.name mlflow.source.type mlflow.source.git.commit mlflow.source.git.branch
    mlflow.source.git.repoURL mlflow.log-model.history finetune.owner finetune.run finetune.expires
    finetune.hourly-usd finetune.kept finetune.job finetune.fingerprint AZUREML_MODEL_DIR
    AZUREML_ENTRY_SCRIPT AML_APP_ROOT AzureAsyncOperationUri azureml.onlineendpointid loss
    smoke_loss hash_sha256 hash_version
    """
)
FAMILIES = (
    "azureml.",
    "_azureml.",
    "_aml_system_",
    "mlflow.",
    "finetune.",
    "AZUREML_",
    "azureml-logs/",
    "logs/",
    "system_logs/",
    "user_logs/",
    "executionlogs",
    "stdoutlogs",
    "stderrlogs",
)

# Objects whose keys people choose, by their own key.
CHOSEN = _words(
    """
    tags environmentVariables environment_variables jobs inputs outputs traffic mirrorTraffic
    metrics params parameters logFiles files services flavors userAssignedIdentities
    vnetExtendedProperties stages artifacts metadata
    """
)
# `properties` are chosen inside of a resource's own, and in run history.
PROPERTIES = "properties"

# Parts of paths. After one of the second list comes a name.
PARTS = _words(
    """
    subscriptions resourceGroups resourcegroups providers workspaces registries locations computes
    datastores onlineEndpoints deployments versions models data codes environments components jobs
    vmSizes usages permissions listSecrets listKeys regenerateKeys getLogs skus token
    startPendingUpload mfeOperationsStatus cancel mfeOperationResults computeOperationsStatus nodes
    listNodes endpoints score swagger.json mferp managementfrontend registrymanagement v1.0 v2.0 api
    2.0 mlflow history runs children details experiments experimentids discovery search get
    get-by-name create update log-metric log-batch log-parameter set-tag get-history
    get-history-bulk get-history-bulk-interval metrics artifacts batch artifact metadata list
    credential assetstore temporaryDataReference createOrGet createOrGetTemporaryDataReference
    datarefs registered-models model-versions latest-versions Microsoft.MachineLearningServices
    Microsoft.Authorization Microsoft.Storage Microsoft.ContainerRegistry Microsoft.KeyVault
    Microsoft.Insights Microsoft.Resources operationStatuses operations
    """
)
NAMED = _words(
    """
    subscriptions resourcegroups workspaces registries locations computes datastores onlineendpoints
    deployments versions models data codes environments components jobs mfeoperationsstatus
    mfeoperationresults computeoperationsstatus runs experiments experimentids operationstatuses
    """
)
# What may stand in a name's place.
ACTIONS = _words(
    "search get get-by-name create update log-metric log-batch log-parameter set-tag list batch discovery"
)

# Headers that say how a client shall go on, or who has answered.
HEADERS = _words(
    """
    azure-asyncoperation location retry-after content-type www-authenticate
    x-ms-async-operation-timeout x-ms-failure-cause x-ms-response-type
    x-ms-ratelimit-remaining-subscription-reads x-ms-ratelimit-remaining-subscription-writes
    x-ms-ratelimit-remaining-subscription-deletes
    x-ms-ratelimit-remaining-subscription-resource-requests
    x-ms-ratelimit-remaining-subscription-global-reads
    x-ms-ratelimit-remaining-subscription-global-writes azureml-model-deployment
    azureml-model-session ms-azureml-model-error-statuscode ms-azureml-model-error-reason
    x-ms-run-fn-exec-ms x-ms-run-function-failed x-ms-server-version x-ms-error-code
    """
)
# Parameters of a query.
QUERY = _words(
    """
    api-version listViewType $orderBy $top $skip $skipToken jobType tag tags properties hash
    hashVersion computeType count orderByAsc skipValidation forceToPurge run_id run_uuid metric_key
    max_results page_token experiment_name experiment_id restype underlyingResourceAction comp
    prefix name scheduled
    """
)
