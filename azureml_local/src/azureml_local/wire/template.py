"""Templates that Resource Manager deploys: azure-ai-ml makes a workspace by one.

Recorded in 2022: the PUT, and two addresses that are polled, one that says only a status and one with a row
for each resource. The rest of a deployment's answer is documented (Microsoft.Resources, 2020-06-01). It is
done at once here; what a workspace is made of besides is kept by name alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import NotFound
from azureml_local.execution import neighbours
from azureml_local.state.clock import iso
from azureml_local.state.documents import DEPENDENT, TEMPLATES
from azureml_local.state.workspace_documents import DeploymentOfTemplateDocument
from azureml_local.wire import workspace as workspaces
from azureml_local.wire import workspace_request
from azureml_local.wire.arm import GROUP, first_of, page, properties, route
from azureml_local.wire.fields import record

_PATH = GROUP + "/providers/Microsoft.Resources/deployments/{template}"


def put(request: Request) -> Response:
    """Make the workspace that the template's parameters describe."""
    first, group, name = first_of(request), request.path_params["group"], request.path_params["template"]
    parameters = record(properties(request), "parameters") or {}
    given = workspace_request.of_template(parameters, first.settings.subscription_id)
    found = neighbours.find(first, group, given["name"])
    made = found or workspaces.make(request, group, given["name"], given)
    beside = [*workspaces.dependent(made), *filter(None, [given["logAnalytics"]])]
    for arm_id in beside:
        first.store.put(DEPENDENT, arm_id, {"location": made.settings.location})
    document: DeploymentOfTemplateDocument = {
        "name": name,
        "group": group,
        "parameters": parameters,
        "made": [*beside, made.settings.workspace_arm_id],
        "timestamp": iso(first.clock.now()),
    }
    first.store.put(TEMPLATES, f"{group}/{name}", document)
    shown = _shown(request, document)
    status = f"{first.settings.base_url}{shown['id']}/operationStatuses/{_number(document)}"
    version = request.query_params.get("api-version", "")
    headers = {"Azure-AsyncOperation": f"{status}?api-version={version}"}
    return JSONResponse(shown, 201, headers)


def get(request: Request) -> Response:
    """What was deployed."""
    return JSONResponse(_shown(request, _existing(request)))


def status(request: Request) -> Response:
    """How far it is: at its end."""
    _existing(request)
    return JSONResponse({"status": "Succeeded"})


def operations(request: Request) -> Response:
    """A row for each resource that was made."""
    document = _existing(request)
    return page(request, [_row(request, document, made) for made in document["made"]])


def _existing(request: Request) -> DeploymentOfTemplateDocument:
    group, name = request.path_params["group"], request.path_params["template"]
    document = first_of(request).store.get(TEMPLATES, f"{group}/{name}")
    if document is None:
        raise NotFound(f"Deployment '{name}' could not be found.", code="DeploymentNotFound")
    return document


def _shown(request: Request, document: DeploymentOfTemplateDocument) -> dict[str, Any]:
    group = f"/subscriptions/{first_of(request).settings.subscription_id}/resourceGroups/{document['group']}"
    return {
        "id": f"{group}/providers/Microsoft.Resources/deployments/{document['name']}",
        "name": document["name"],
        "type": "Microsoft.Resources/deployments",
        "properties": {
            "provisioningState": "Succeeded",
            "mode": "Incremental",
            "parameters": document["parameters"],
            "timestamp": document["timestamp"],
            "duration": "PT0S",
            "correlationId": str(uuid5(NAMESPACE_URL, document["name"])),
            "outputResources": [{"id": made} for made in document["made"]],
        },
    }


def _row(request: Request, document: DeploymentOfTemplateDocument, made: str) -> dict[str, Any]:
    number = uuid5(NAMESPACE_URL, made).hex[:16].upper()
    above, name = made.rsplit("/", 1)
    return {
        "id": f"{_shown(request, document)['id']}/operations/{number}",
        "operationId": number,
        "properties": {
            "provisioningOperation": "Create",
            "provisioningState": "Succeeded",
            "timestamp": document["timestamp"],
            "duration": "PT0S",
            "trackingId": str(uuid5(NAMESPACE_URL, made)),
            "statusCode": "OK",
            "targetResource": {
                "id": made,
                "resourceType": above.partition("/providers/")[2],
                "resourceName": name,
            },
        },
    }


def _number(document: DeploymentOfTemplateDocument) -> str:
    """As recorded, 20 digits: 100 ns since the year 1."""
    moment = datetime.fromisoformat(document["timestamp"])
    return f"{621_355_968_000_000_000 + int(moment.timestamp() * 10**7):020}"


routes = [
    route(_PATH, GET=get, PUT=put),
    route(_PATH + "/operationStatuses/{status}", GET=status),
    route(GROUP + "/deployments/{template}/operations", GET=operations),
]
