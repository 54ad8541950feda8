"""For whoever started the server: the meter, operations by hand, the clock. Needs the admin secret."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Unauthorized
from azureml_local.execution.deployment import check_name
from azureml_local.execution.deployments import FOREIGN_ENDPOINTS
from azureml_local.wire import fault
from azureml_local.wire.arm import Handler, body, local, route

HEADER = "X-Admin-Secret"


def _guarded(handler: Callable[[Request], Response]) -> Handler:
    def checked(request: Request) -> Response:
        given = request.headers.get(HEADER, "")
        if not hmac.compare_digest(given.encode(), local(request).secrets.admin.encode()):
            raise Unauthorized(
                f"The header {HEADER} is missing or wrong: `azureml-local up` prints the secret."
            )
        return handler(request)

    return checked


def ledger(request: Request) -> Response:
    return JSONResponse(local(request).ledger.report())


def live(request: Request) -> Response:
    """What would be cut off if the server stopped now."""
    return JSONResponse({"jobs": local(request).live_jobs()})


def operations(request: Request) -> Response:
    """Operations under way, oldest first."""
    here = local(request)
    waiting = [{"id": i, **here.operations.get(i)} for i in here.operations.waiting()]
    return JSONResponse({"value": waiting})


def step(request: Request) -> Response:
    """Let one operation go on, or every one that is under way."""
    here = local(request)
    wanted = body(request).get("id")
    stepped = here.operations.waiting() if wanted is None else [str(wanted)]
    for operation_id in stepped:
        here.operations.step(operation_id)
    return JSONResponse({"stepped": stepped})


def advance(request: Request) -> Response:
    """Move the clock that tokens and signatures expire by."""
    seconds = body(request).get("seconds")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= 10**9:
        raise BadRequest("The body needs a number of 'seconds', 0 to 1e9.", target="seconds")
    local(request).clock.advance(float(seconds))
    return JSONResponse({"now": local(request).clock.now().isoformat()})


def take_endpoint_name(request: Request) -> Response:
    """Let an endpoint name be held by somebody else in the region, as every name may be on Azure."""
    name = str(body(request).get("name", ""))
    check_name(name, "endpoint")
    local(request).store.put(FOREIGN_ENDPOINTS, name, {})
    return JSONResponse({"name": name})


routes = [
    route("/admin/ledger", GET=_guarded(ledger)),
    route("/admin/live", GET=_guarded(live)),
    route("/admin/operations", GET=_guarded(operations)),
    route("/admin/operations/step", POST=_guarded(step)),
    route("/admin/endpoint-names", POST=_guarded(take_endpoint_name)),
    route("/admin/faults", GET=_guarded(fault.rules), POST=_guarded(fault.replace)),
    route("/admin/clock", POST=_guarded(advance)),
]
