"""The whole server as one ASGI application."""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from azureml_local.errors import MethodNotAllowed, ServiceError, StorageFull, UnknownScope
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER
from azureml_local.wire import (
    admin,
    artifact,
    asset,
    authority,
    batch_deployment,
    batch_endpoint,
    batch_job,
    beginning,
    blob,
    compute,
    connection,
    data_access,
    datastore,
    deployment,
    endpoint,
    error_answer,
    file_system,
    job,
    metadata,
    mlflow,
    model_registry,
    operation,
    page,
    preflight,
    provider,
    refused,
    region,
    registry,
    resource_group,
    run_history,
    schedule,
    scoring,
    sharing,
    template,
)
from azureml_local.wire import workspace as workspace_routes
from azureml_local.wire.answer_headers import AnswerHeaders
from azureml_local.wire.by_length import ByLength
from azureml_local.wire.storage_host import StorageHost

logger = logging.getLogger(__name__)

# These know their callers in their own way: by identity header, signature, endpoint key or admin secret.
OPEN: Sequence[BaseRoute] = (
    *metadata.routes,
    *authority.routes,
    *workspace_routes.open_routes,
    *admin.routes,
    *page.routes,
    *scoring.routes,
)
# These want a bearer token.
GUARDED: Sequence[BaseRoute] = (
    *workspace_routes.routes,
    *resource_group.routes,
    *template.routes,
    *registry.routes,
    *sharing.routes,
    *provider.routes,
    *preflight.routes,
    *region.routes,
    *compute.routes,
    *connection.routes,
    *data_access.routes,
    *datastore.routes,
    *asset.routes,
    *endpoint.routes,
    *deployment.routes,
    *batch_endpoint.routes,
    *batch_deployment.routes,
    *batch_job.routes,
    *job.routes,
    *run_history.routes,
    *schedule.routes,
    *artifact.routes,
    *model_registry.routes,
    *mlflow.routes,
    *operation.routes,
    *refused.routes,
)

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


def create(workspace: Workspace) -> Starlette:
    """The application over one workspace, with what every workspace and the registry begin with."""
    neighbours.open_all(workspace)
    beginning.plant(workspace)
    app = Starlette(
        routes=[Mount("/", app=ByLength(_routes(workspace)))],
        lifespan=_lifespan,
        middleware=[
            Middleware(AnswerHeaders, clock=workspace.clock),
            Middleware(StorageHost, workspace=workspace),
            Middleware(CanonicalPath),
        ],
        exception_handlers={
            ServiceError: _service_error,
            HTTPException: _http_error,
            ClientDisconnect: _disconnected,
            OSError: _os_error,
            Exception: _unexpected,
        },
    )
    app.state.workspace = workspace
    return app


def _routes(workspace: Workspace) -> Sequence[BaseRoute]:
    suffix = workspace.settings.storage_suffix
    return [
        *OPEN,
        *blob.routes_below("/{account}.blob." + suffix),
        *file_system.routes_below("/{account}.dfs." + suffix),
        Mount("/", app=BearerToken(ByLength(GUARDED), workspace)),
    ]


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    yield
    first = cast(Workspace, app.state.workspace)
    for each in (first, *first.others.values(), *first.ended):
        await each.router.close()
    for registry_state in first.registries.values():
        await cast(Workspace, registry_state).router.close()


class BearerToken:
    """Lets a request through to the routes behind it when it carries a valid access token."""

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self._app = app
        self._workspace = workspace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            claims = self._workspace.tokens.check(Request(scope).headers.get("authorization"))
            scope.setdefault("state", {})["claims"] = claims
        await self._app(scope, receive, send)


class CanonicalPath:
    """Sets paths right before routing: the case of their fixed parts, which Resource Manager ignores, and the
    prefix below which the registry answers."""

    _PREFIX = "/mferp/managementfrontend"
    _COLLECTIONS = {
        name.casefold(): name
        for name in (
            "subscriptions",
            "resourceGroups",
            "providers",
            PROVIDER,
            "workspaces",
            "registries",
            "locations",
            "computes",
            "connections",
            "datastores",
            "onlineEndpoints",
            "batchEndpoints",
            "deployments",
            "versions",
            "models",
            "data",
            "codes",
            "environments",
            "components",
            "jobs",
            "schedules",
            "trigger",
            "vmSizes",
            "Microsoft.Authorization",
            "permissions",
            "usages",
            "listSecrets",
            "listKeys",
            "regenerateKeys",
            "getLogs",
            "skus",
            "register",
            "unregister",
            "token",
            "Microsoft.Resources",
            "Microsoft.ContainerRegistry",
            "Microsoft.Insights",
            "Microsoft.KeyVault",
            "vaults",
            "Microsoft.OperationalInsights",
            "Microsoft.Storage",
            "storageAccounts",
            "operations",
            "operationStatuses",
            "workspaceOperationsStatus",
            "registryOperationsStatus",
            "import",
            "operationresults",
            "startPendingUpload",
            *refused.COLLECTIONS,
            "mfeOperationsStatus",
            "mfeOperationResults",
        )
    }

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"].removeprefix(self._PREFIX)
            if re.match("/subscriptions/", path, re.IGNORECASE):
                path = self._canonical(path)
            scope = {**scope, "path": path}
        await self._app(scope, receive, send)

    def _canonical(self, path: str) -> str:
        """Every second part is a collection or an action; the ones between are names and stay."""
        parts = path.rstrip("/").split("/")
        for index in range(1, len(parts), 2):
            parts[index] = self._COLLECTIONS.get(parts[index].casefold(), parts[index])
        # ".../providers/Microsoft.X/workspaces/..." has the provider where a name would be.
        for index in range(2, len(parts), 2):
            if parts[index - 1] == "providers":
                parts[index] = self._COLLECTIONS.get(parts[index].casefold(), parts[index])
        return "/".join(parts)


def _service_error(request: Request, error: Exception) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    workspace: Workspace = request.app.state.workspace
    return error_answer.answer(workspace, request.url.path, cast(ServiceError, error), request_id)


def _http_error(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    what = f"{request.method} {request.url.path}"
    if status == 405:
        response = _service_error(request, MethodNotAllowed(f"{what} is not allowed."))
        response.headers.update(cast(HTTPException, error).headers or {})
        return response
    return _service_error(request, UnknownScope(f"There is nothing at {what}.", code="InvalidResourceType"))


def _disconnected(request: Request, error: Exception) -> Response:
    """The client went away in the middle of its body; nobody reads this answer."""
    logger.info("%s %s: the client went away", request.method, request.url.path)
    return Response(status_code=400)


def _os_error(request: Request, error: Exception) -> Response:
    if cast(OSError, error).errno in _DISK_ERRORS:
        reason = cast(OSError, error).strerror
        return _service_error(request, StorageFull(f"The state directory cannot be written: {reason}."))
    return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> Response:
    request_id = request.scope.get("state", {}).get("request_id", "")
    logger.error("request %s failed: %s %s", request_id, request.method, request.url.path, exc_info=error)
    return _service_error(
        request,
        ServiceError(
            500,
            "InternalServerError",
            f"The server failed; its log says why under the correlation id {request_id}.",
        ),
    )
