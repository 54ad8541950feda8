"""Resource providers: what of Azure the subscription is registered for.

Documented: Providers_Get, _Register and _Unregister of Microsoft.Resources, 2021-04-01. Registering takes
Azure minutes; here it is done at once. Any namespace counts as registered until somebody unregisters it, as
nobody has a workspace in a subscription that is not registered for what the workspace is made of.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.state.document import Json
from azureml_local.state.documents import PROVIDERS, ProviderDocument
from azureml_local.wire.arm import SUBSCRIPTION, route, workspace_of

_PATH = SUBSCRIPTION + "/providers/{namespace}"


def get(request: Request) -> Response:
    """How far the registration for a namespace is."""
    return JSONResponse(_resource(request))


def register(request: Request) -> Response:
    return _set(request, "Registered")


def unregister(request: Request) -> Response:
    return _set(request, "NotRegistered")


def _set(request: Request, state: str) -> Response:
    document: ProviderDocument = {"registrationState": state}
    workspace_of(request).store.put(PROVIDERS, request.path_params["namespace"], document)
    return JSONResponse(_resource(request))


def _resource(request: Request) -> Json:
    workspace, namespace = workspace_of(request), request.path_params["namespace"]
    kept = workspace.store.get(PROVIDERS, namespace) or {"registrationState": "Registered"}
    return {
        "id": f"/subscriptions/{workspace.settings.subscription_id}/providers/{namespace}",
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": kept["registrationState"],
        "resourceTypes": [],
    }


routes = [
    route(_PATH, GET=get),
    route(_PATH + "/register", POST=register),
    route(_PATH + "/unregister", POST=unregister),
]
