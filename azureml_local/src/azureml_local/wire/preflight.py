"""Resource Manager's look at a template before it is deployed: the SDK has components validated so.

Documented: Deployments_Validate of Microsoft.Resources, 2020-06-01. The answer to what is wrong has a detail
for each resource, whose target the SDK shows as a place in the YAML file.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest
from azureml_local.settings import PROVIDER
from azureml_local.wire.arm import GROUP, properties, route, workspace_of
from azureml_local.wire.asset_collection import COMPONENTS
from azureml_local.wire.fields import record, text

VALIDATE = GROUP + "/providers/Microsoft.Resources/deployments/{deployment}/validate"
_COMPONENT = f"{PROVIDER}/workspaces/components/versions"


def validate(request: Request) -> Response:
    """Whether the template's components could be created; raises BadRequest where it is no such template."""
    given = properties(request)
    resources = (record(given, "template") or {}).get("resources")
    if not isinstance(resources, list) or not resources:
        raise BadRequest("The template needs a list 'resources'.", target="properties.template.resources")
    details = [error for each in resources if (error := _objection(request, each)) is not None]
    if details:
        raise BadRequest(
            "The template deployment is not valid: see the details.",
            code="InvalidTemplateDeployment",
            details=details,
        )
    name = request.path_params["deployment"]
    path = request.url.path.removesuffix("/validate")
    shown = {"mode": given.get("mode"), "provisioningState": "Succeeded", "error": None}
    return JSONResponse({"id": path, "name": name, "properties": shown, "error": None})


def _objection(request: Request, resource: Any) -> BadRequest | None:
    """What is wrong with one resource of the template."""
    if not isinstance(resource, dict) or resource.get("type") != _COMPONENT:
        return BadRequest(f"Only {_COMPONENT} are validated here.", target="type")
    name = text(resource, "name") or ""
    _, _, full = name.partition("/")
    component, _, version = full.partition("/")
    try:
        COMPONENTS.check(workspace_of(request), component, version, record(resource, "properties") or {})
    except BadRequest as error:
        return error
    return None


routes = [route(VALIDATE, POST=validate)]
