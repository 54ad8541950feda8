"""Jobs of batch endpoints: asked for at an endpoint's address, listed by endpoint and by deployment.

Recorded in 2023: the answer to a request. Documented (azure-ai-ml, 2020-09-01-dataplanepreview): the paths of
the lists, and their rows, of which the SDK reads id, name, type and status. Assumed: that a repeated request
is answered with the job that the first one made, as its header Repeatability-Request-ID promises; that a row
has what the first answer had.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import NotFound, ServiceError, Unauthorized
from azureml_local.execution import batch
from azureml_local.execution.batch import Invocation
from azureml_local.execution.router import DEPLOYMENT_HEADER
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER
from azureml_local.state.batch_documents import (
    BatchDeploymentDocument,
    BatchEndpointDocument,
    BatchJobDocument,
)
from azureml_local.state.document import Json
from azureml_local.state.documents import BATCH_DEPLOYMENTS, BATCH_JOBS, provisioning_state
from azureml_local.state.job_documents import JobDocument
from azureml_local.state.tokens import ML_AUDIENCES
from azureml_local.wire import batch_deployment, batch_endpoint, batch_job_request
from azureml_local.wire.arm import page, properties, route, workspace_of
from azureml_local.wire.fields import refused

# As azure-ai-ml spells it, and as the standard does.
_REPEATED = ("repeatability_request-id", "Repeatability-Request-ID")
_CASES = {"uri_file": "UriFile", "uri_folder": "UriFolder", "literal": "Literal"}


def invoke(request: Request) -> Response:
    """Submit a job to the deployment that is named, in the path or by a header, or to the default one."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    _check_audience(request)
    endpoint = batch_endpoint.find(workspace, name)
    asked = request.path_params.get("deployment") or request.headers.get(DEPLOYMENT_HEADER)
    deployment = _chosen(workspace, endpoint, asked)
    repeated = next(filter(None, map(request.headers.get, _REPEATED)), None)
    made = _made(workspace, endpoint["name"], repeated) if repeated else None
    if made is None:
        invocation = batch_job_request.read(properties(request), deployment)
        made = _submitted(workspace, invocation, repeated)
    place = (
        f"{workspace.settings.base_url}/mferp/managementfrontend{_path(workspace, endpoint['name'], made)}"
    )
    headers = {"Location": place, DEPLOYMENT_HEADER: made[0]["deployment"]}
    return JSONResponse(_resource(workspace, endpoint["name"], *made), 201, headers)


def list_all(request: Request) -> Response:
    """The jobs of an endpoint, or of one of its deployments, the newest first."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    endpoint = batch_endpoint.find(workspace, name)["name"]
    deployment = request.path_params.get("deployment")
    if deployment is not None:
        deployment = batch_deployment.find(workspace, endpoint, deployment)["name"]
    found = [
        (row, job)
        for row, job in _jobs(workspace, endpoint)
        if deployment is None or row["deployment"] == deployment
    ]
    found.sort(key=lambda each: each[1]["number"], reverse=True)
    return page(request, found, show=lambda each: _resource(workspace, endpoint, *each))


def get(request: Request) -> Response:
    """One job of an endpoint or deployment."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    endpoint = batch_endpoint.find(workspace, name)["name"]
    for row, job in _jobs(workspace, endpoint):
        if job["name"] == request.path_params["job"]:
            return JSONResponse(_resource(workspace, endpoint, row, job))
    raise NotFound(f"The endpoint '{endpoint}' has no job {request.path_params['job']}.", code="UserError")


def _check_audience(request: Request) -> None:
    """Raise Unauthorized for a token that is not for Azure ML itself, but for Resource Manager.

    Documented in how-to-troubleshoot-batch-endpoints; the words and the code are assumed.
    """
    audience = str(request.scope["state"]["claims"].get("aud", "")).rstrip("/")
    if audience not in ML_AUDIENCES:
        raise Unauthorized(
            f"The token is for {audience}, and a batch endpoint is called with one for {ML_AUDIENCES[0]}: "
            "ask for that resource.",
            code="InvalidAuthenticationTokenAudience",
        )


def _chosen(
    workspace: Workspace, endpoint: BatchEndpointDocument, asked: str | None
) -> BatchDeploymentDocument:
    """The deployment that answers; raises NotFound, or BadRequest where there is no telling which.

    That the only one of an endpoint is its default is documented in Microsoft's example notebooks.
    """
    wanted = asked or endpoint["properties"]["defaults"]["deploymentName"]
    if wanted is None:
        names = [each["name"] for _, each in workspace.store.list(BATCH_DEPLOYMENTS, f"{endpoint['name']}/")]
        if len(names) != 1:
            raise refused(
                "defaults.deploymentName",
                f"the endpoint '{endpoint['name']}' has no default deployment: set one, or name a deployment "
                f"in the header {DEPLOYMENT_HEADER} ({', '.join(names) or 'there is none yet'})",
            )
        (wanted,) = names
    deployment = batch_deployment.find(workspace, endpoint["name"], wanted)
    if (state := provisioning_state(deployment)) != "Succeeded":
        raise refused(
            "deployment", f"the deployment '{deployment['name']}' is {state}: wait until it is ready"
        )
    return deployment


def _submitted(
    workspace: Workspace, invocation: Invocation, repeated: str | None
) -> tuple[BatchJobDocument, JobDocument]:
    """Submit the job; the row comes first, so that no job is without one."""
    endpoint, name = invocation.deployment["endpoint"], batch.new_name()
    row: BatchJobDocument = {
        "name": name,
        "deployment": invocation.deployment["name"],
        "request": repeated,
        "properties": _properties(invocation),
    }
    workspace.store.put(BATCH_JOBS, f"{endpoint}/{name}", row)
    try:
        return row, batch.submit(workspace, name, invocation)
    except ServiceError:
        workspace.store.delete(BATCH_JOBS, f"{endpoint}/{name}")
        raise


def _made(workspace: Workspace, endpoint: str, repeated: str) -> tuple[BatchJobDocument, JobDocument] | None:
    """The job that an earlier try of the same request has made."""
    return next((each for each in _jobs(workspace, endpoint) if each[0]["request"] == repeated), None)


def _jobs(workspace: Workspace, endpoint: str) -> list[tuple[BatchJobDocument, JobDocument]]:
    """The endpoint's jobs, but those that have been deleted."""
    rows = [row for _, row in workspace.store.list(BATCH_JOBS, f"{endpoint}/")]
    found = ((row, workspace.jobs.records.find(row["name"])) for row in rows)
    return [(row, job) for row, job in found if job is not None]


def _properties(invocation: Invocation) -> Json:
    """What the answer says of the request, beside the job's own state."""
    settings = invocation.settings
    nodes = settings["resources"]["instanceCount"]
    return {
        "provisioningState": "Succeeded",
        "inputData": {name: _shown(given, "jobInputType") for name, given in invocation.inputs.items()},
        "outputData": {name: _shown(given, "jobOutputType") for name, given in invocation.outputs.items()},
        "compute": {"target": settings["compute"], "instanceCount": nodes, "isLocal": False},
        "output": {"datastoreId": None, "path": None},
        "retrySettings": settings["retrySettings"],
        "miniBatchSize": settings["miniBatchSize"],
        "errorThreshold": settings["errorThreshold"],
        "outputFileName": settings["outputFileName"],
    }


def _shown(given: Json, kind: str) -> Json:
    return {"description": None, **given, kind: _CASES.get(given[kind], given[kind])}


def _resource(workspace: Workspace, endpoint: str, row: BatchJobDocument, job: JobDocument) -> Json:
    settings, shown = workspace.settings, job["properties"]
    studio = f"{settings.base_url}/jobs/{job['name']}?wsid={settings.workspace_arm_id}"
    return {
        "id": _path(workspace, endpoint, (row, job)),
        "name": job["name"],
        "type": f"{PROVIDER}/workspaces/batchEndpoints/deployments/jobs",
        "properties": {
            **row["properties"],
            "status": shown["status"],
            "interactionEndpoints": {"Tracking": {}, "Studio": {"endpoint": studio}},
            "tags": shown["tags"],
            "properties": shown["properties"],
            "name": shown["displayName"],
        },
    }


def _path(workspace: Workspace, endpoint: str, made: tuple[BatchJobDocument, JobDocument]) -> str:
    row, job = made
    above = f"{workspace.settings.workspace_arm_id}/batchEndpoints/{endpoint}"
    return f"{above}/deployments/{row['deployment']}/jobs/{job['name']}"


routes = [
    route(f"{above}/jobs{name}", **handlers)
    for above in (batch_endpoint.PATH + "/{endpoint}", batch_deployment.PATH + "/{deployment}")
    for name, handlers in (("", {"GET": list_all, "POST": invoke}), ("/{job}", {"GET": get}))
]
