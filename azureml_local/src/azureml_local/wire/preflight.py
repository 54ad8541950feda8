"""Resource Manager's look at a template before it is deployed: the SDK has components validated so.

Documented: Deployments_Validate of Microsoft.Resources, 2020-06-01. What is wrong has a detail for each
resource, whose target the SDK shows as a place in the YAML file. That it comes with 200 is assumed: at the
documented 400 the SDK raises before it reads the details, for which it has a reader.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest
from azureml_local.settings import PROVIDER
from azureml_local.state.document import Json
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
    details = [found for each in resources if (found := _objection(request, each)) is not None]
    error: Json | None = None
    if details:
        error = {
            "code": "InvalidTemplateDeployment",
            "message": "The template deployment is not valid: see the details.",
            "details": details,
        }
    name = request.path_params["deployment"]
    path = request.url.path.removesuffix("/validate")
    shown = {"mode": given.get("mode"), "provisioningState": "Failed" if error else "Succeeded"}
    return JSONResponse({"id": path, "name": name, "properties": shown, "error": error})


def _objection(request: Request, resource: Any) -> Json | None:
    """What is wrong with one resource of the template."""
    if not isinstance(resource, dict) or resource.get("type") != _COMPONENT:
        raise BadRequest(f"Only {_COMPONENT} are validated here.", target="type")
    name = text(resource, "name") or ""
    _, _, full = name.partition("/")
    component, _, version = full.partition("/")
    try:
        COMPONENTS.check(workspace_of(request), component, version, record(resource, "properties") or {})
    except BadRequest as error:
        return {"code": error.code, "message": error.message, "target": error.target or ""}
    return None


routes = [route(VALIDATE, POST=validate)]
