"""Batch deployments: a model with its scoring script, or a pipeline component, that a batch endpoint runs.

Recorded in 2023: a first PUT is answered `Updating` and ends `Succeeded` half a minute later, with nothing
started. Assumed: the words for what is missing, and that it is looked for at once.
"""

from __future__ import annotations

from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.assets import addresses, kinds
from azureml_local.errors import BadRequest, NotFound
from azureml_local.execution import batch, component
from azureml_local.execution.workspace import Workspace
from azureml_local.state import transitions
from azureml_local.state.batch_documents import BatchDeploymentDocument, BatchDeploymentSettings
from azureml_local.state.document import Json
from azureml_local.state.documents import BATCH_DEPLOYMENTS
from azureml_local.wire import batch_deployment_request, batch_endpoint
from azureml_local.wire.arm import body, named, properties, resource, route, workspace_of
from azureml_local.wire.endpoint import beside, check_idle, envelope
from azureml_local.wire.endpoint_request import check_name
from azureml_local.wire.fields import record, refused, text
from azureml_local.wire.operation import accepted

PATH = batch_endpoint.PATH + "/{endpoint}/deployments"


def find(workspace: Workspace, endpoint: str, name: str) -> BatchDeploymentDocument:
    """The stored deployment; raises NotFound."""
    document = workspace.store.get(BATCH_DEPLOYMENTS, f"{endpoint}/{name}")
    if document is None:
        raise NotFound(f"The deployment '{name}' was not found.", code="ResourceNotFound")
    return document


def get(request: Request) -> Response:
    """One deployment."""
    workspace, document = workspace_of(request), _asked(request)
    return JSONResponse(_resource(workspace, document))


def list_all(request: Request) -> Response:
    """The endpoint's deployments."""
    workspace, name = workspace_of(request), request.path_params["endpoint"]
    batch_endpoint.find(workspace, name)
    shown = (BATCH_DEPLOYMENTS, lambda _, document: _resource(workspace, document))
    return named(request, shown, prefix=f"{name}/")


def put(request: Request) -> Response:
    """Create a deployment, or replace it; jobs that it has begun go on as it was."""
    workspace, name = workspace_of(request), request.path_params["deployment"]
    check_name(name, "deployment")
    parent = batch_endpoint.find(workspace, request.path_params["endpoint"])
    wanted = batch_deployment_request.settings(properties(request))
    _check(workspace, wanted)
    full = f"{parent['name']}/{name}"
    existing = workspace.store.get(BATCH_DEPLOYMENTS, full)
    if existing is not None:
        check_idle(existing, "batch deployment")
    document: BatchDeploymentDocument = {
        "name": existing["name"] if existing else name,
        "endpoint": parent["name"],
        **envelope(request, existing),
        "properties": {**wanted, "provisioningState": "Updating"},
    }
    workspace.store.put(BATCH_DEPLOYMENTS, full, document)
    begun = workspace.operations.begin(BATCH_DEPLOYMENTS, full, transitions.PUT_BATCH_DEPLOYMENT)
    return accepted(request, begun, _resource(workspace, document), 201)


def patch(request: Request) -> Response:
    """Change tags and description."""
    workspace, document = workspace_of(request), _asked(request)
    check_idle(document, "batch deployment")
    described = text(record(body(request), "properties") or {}, "description")

    def change(old: BatchDeploymentDocument) -> BatchDeploymentDocument:
        if described is not None:
            old["properties"]["description"] = described
        return cast(BatchDeploymentDocument, {**old, **envelope(request, old)})

    full = f"{document['endpoint']}/{document['name']}"
    workspace.store.update(BATCH_DEPLOYMENTS, full, change)
    begun = workspace.operations.begin(BATCH_DEPLOYMENTS, full, transitions.PUT_BATCH_DEPLOYMENT)
    changed = find(workspace, document["endpoint"], document["name"])
    return accepted(request, begun, _resource(workspace, changed), 202)


def delete(request: Request) -> Response:
    """Delete the deployment; its jobs go on, and the endpoint has no default if it was that."""
    workspace = workspace_of(request)
    endpoint, name = request.path_params["endpoint"], request.path_params["deployment"]
    full = f"{endpoint}/{name}"
    if workspace.store.get(BATCH_DEPLOYMENTS, full) is None:
        return Response(status_code=204)
    batch_endpoint.forget_default(workspace, endpoint, name)
    begun = workspace.operations.begin(BATCH_DEPLOYMENTS, full, transitions.DELETE_BATCH_DEPLOYMENT)
    return accepted(request, begun, None, 202)


def _asked(request: Request) -> BatchDeploymentDocument:
    workspace, endpoint = workspace_of(request), request.path_params["endpoint"]
    batch_endpoint.find(workspace, endpoint)
    return find(workspace, endpoint, request.path_params["deployment"])


def _check(workspace: Workspace, wanted: BatchDeploymentSettings) -> None:
    """Raise BadRequest unless everything that the deployment names is there."""
    configuration = wanted["deploymentConfiguration"]
    if configuration is not None:
        reference = configuration["componentId"]
        if reference is None:
            raise refused("deploymentConfiguration.componentId", "it must name a pipeline component")
        found = component.find(workspace.store, reference["assetId"])
        if found.type != "pipeline":
            raise refused("deploymentConfiguration.componentId", f"{found.name} is no pipeline component")
        return
    if not wanted["compute"]:  # documented as required (reference-yaml-deployment-batch)
        raise refused("compute", "a model deployment needs the compute cluster that its jobs run on")
    workspace.jobs.clusters.find(batch.target(wanted["compute"]))
    kinds.check_environment(workspace, wanted["environmentId"])
    _check_model(workspace, wanted)


def _check_model(workspace: Workspace, wanted: BatchDeploymentSettings) -> None:
    """Raise BadRequest unless there is a model, and somebody who scores with it."""
    code, model = wanted["codeConfiguration"], wanted["model"]
    references = [code["codeId"]] if code else []
    references += [model["assetId"]] if model else []
    for reference in references:
        try:
            addresses.check(workspace, reference)
        except NotFound as error:
            raise BadRequest(error.message, target="model" if model else "codeConfiguration") from error
    if code is not None:
        if wanted["environmentId"] is None:  # documented in how-to-mlflow-batch
            raise refused("environmentId", "a deployment with a scoring script needs an environment")
    elif model is None or not batch.is_mlflow(workspace, model["assetId"]):
        raise refused(
            "codeConfiguration", "a model that is no MLflow model needs a scoring script and an environment"
        )


def _resource(workspace: Workspace, document: BatchDeploymentDocument) -> Json:
    return resource(
        f"{workspace.settings.workspace_arm_id}/batchEndpoints/{document['endpoint']}/deployments/{document['name']}",
        "workspaces/batchEndpoints/deployments",
        document["properties"],
        **beside(document),
    )


routes = [
    route(PATH, GET=list_all),
    route(PATH + "/{deployment}", GET=get, PUT=put, PATCH=patch, DELETE=delete),
]
