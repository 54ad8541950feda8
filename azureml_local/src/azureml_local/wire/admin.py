"""For whoever started the server: the ledger, operations by hand, the clock. Needs the admin secret."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Unauthorized
from azureml_local.state import access
from azureml_local.state.access import BadRole
from azureml_local.state.document import Json
from azureml_local.state.documents import HELD_NAMES
from azureml_local.state.endpoint_documents import HeldNameDocument
from azureml_local.wire import fault
from azureml_local.wire.arm import Handler, body, route, workspace_of
from azureml_local.wire.endpoint_request import check_name

HEADER = "X-Admin-Secret"


def _guarded(handler: Callable[[Request], Response]) -> Handler:
    def checked(request: Request) -> Response:
        given = request.headers.get(HEADER, "")
        if not hmac.compare_digest(given.encode(), workspace_of(request).secrets.admin.encode()):
            raise Unauthorized(
                f"The header {HEADER} is missing or wrong: `azureml-local up` prints the secret."
            )
        return handler(request)

    return checked


def ledger(request: Request) -> Response:
    """What ran, for how long, at what price."""
    return JSONResponse(workspace_of(request).ledger.report())


def live(request: Request) -> Response:
    """What would be cut off if the server stopped now."""
    return JSONResponse(workspace_of(request).in_use())


def operations(request: Request) -> Response:
    """Operations under way, oldest first."""
    workspace = workspace_of(request)
    waiting = [{"id": i, **workspace.operations.get(i)} for i in workspace.operations.waiting()]
    return JSONResponse({"value": waiting})


def step(request: Request) -> Response:
    """Let one operation go on, or every one that is under way."""
    workspace = workspace_of(request)
    wanted = body(request).get("id")
    stepped = workspace.operations.waiting() if wanted is None else [str(wanted)]
    for operation_id in stepped:
        workspace.operations.step(operation_id)
    return JSONResponse({"stepped": stepped})


def advance(request: Request) -> Response:
    """Move the clock by `seconds`, or let it go at a `speed`: tokens and starting containers go by it."""
    clock, given = workspace_of(request).clock, body(request)
    if "speed" in given:
        clock.go(_number(given, "speed", 10**4))
    if "seconds" in given or "speed" not in given:
        clock.advance(_number(given, "seconds", 10**9))
    return JSONResponse({"now": clock.now().isoformat()})


def permissions(request: Request) -> Response:
    """Put other roles in force: a preset by its name, or roles as Azure writes them."""
    try:
        roles = access.parse(body(request).get("roles"))
    except BadRole as error:
        raise BadRequest(str(error), target="roles") from None
    workspace_of(request).access.replace(roles)
    return JSONResponse({"roles": [role.name for role in roles]})


def take_endpoint_name(request: Request) -> Response:
    """Let an endpoint name be held by somebody else in the region, as every name may be on Azure."""
    name = str(body(request).get("name", ""))
    check_name(name, "endpoint")
    held: HeldNameDocument = {"until": None, "missing": False}
    workspace_of(request).store.put(HELD_NAMES, name, held)
    return JSONResponse({"name": name})


def _number(given: Json, name: str, most: float) -> float:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadRequest(f"The body needs a number of '{name}', 0 to {most:g}.", target=name)
    return float(value)


routes = [
    route("/admin/ledger", GET=_guarded(ledger)),
    route("/admin/live", GET=_guarded(live)),
    route("/admin/operations", GET=_guarded(operations)),
    route("/admin/operations/step", POST=_guarded(step)),
    route("/admin/endpoint-names", POST=_guarded(take_endpoint_name)),
    route("/admin/faults", GET=_guarded(fault.rules), POST=_guarded(fault.replace)),
    route("/admin/permissions", POST=_guarded(permissions)),
    route("/admin/clock", POST=_guarded(advance)),
]
