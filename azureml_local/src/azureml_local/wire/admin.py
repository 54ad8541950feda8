"""For whoever started the server: resets, snapshots, faults, operations by hand, the clock, the ledger.

Every call needs the admin secret. CALLS has all of them, each with the schema of what it takes and gives;
`GET /admin/schema` shows it as OpenAPI.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from azureml_local.errors import BadRequest, Unauthorized
from azureml_local.execution import neighbours
from azureml_local.state import access
from azureml_local.state.access import BadRole
from azureml_local.state.areas import Area
from azureml_local.state.document import Json
from azureml_local.state.documents import HELD_NAMES
from azureml_local.state.endpoint_documents import HeldNameDocument
from azureml_local.wire import beginning, fault
from azureml_local.wire.admin_schema import (
    ANYTHING,
    AREAS,
    FAULTS,
    LIST,
    NAMES,
    NUMBER,
    SNAPSHOT,
    TEXT,
    Call,
    openapi,
    record,
)
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


def schema(request: Request) -> Response:
    """This interface, as an OpenAPI document."""
    return JSONResponse(openapi(CALLS))


def reset(request: Request) -> Response:
    """Make the workspace as it was in the beginning: all of it, or the `kinds` that are named."""
    workspace = workspace_of(request)
    named = body(request).get("kinds")
    if named is not None and not (isinstance(named, list) and all(each in set(Area) for each in named)):
        raise BadRequest(f"'kinds' must be a list of {', '.join(Area)}.", target="kinds")
    areas = list(Area) if named is None else [Area(each) for each in named]
    with workspace.exchange:
        if Area.WORKSPACES in areas:
            neighbours.remove_workspaces(workspace)
        if Area.REGISTRIES in areas:
            neighbours.remove_registries(workspace)
        workspace.clear(areas)
        with workspace.store.transaction():  # one, since each waits for the disk
            beginning.plant(workspace)
    return JSONResponse({"reset": areas})


def snapshots(request: Request) -> Response:
    """The names of the snapshots that have been saved."""
    return JSONResponse({"value": workspace_of(request).snapshots()})


def save(request: Request) -> Response:
    """Keep everything that is in the workspace under a name; no job may run."""
    name = _snapshot(request)
    workspace = workspace_of(request)
    with workspace.exchange:
        workspace.save(name)
    return JSONResponse({"name": name})


def load(request: Request) -> Response:
    """Have what was saved under a name in the place of everything; jobs and deployments end before."""
    name = _snapshot(request)
    workspace = workspace_of(request)
    with workspace.exchange:
        workspace.load(name)
        neighbours.remove_workspaces(workspace)  # a snapshot has none
        neighbours.remove_registries(workspace)
    return JSONResponse({"name": name})


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


def _snapshot(request: Request) -> str:
    name = body(request).get("name")
    if not isinstance(name, str) or not re.fullmatch(SNAPSHOT["pattern"], name):
        raise BadRequest("A snapshot's 'name' is 1 to 64 letters, digits, '-' and '_'.", target="name")
    return name


def _number(given: Json, name: str, most: float) -> float:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise BadRequest(f"The body needs a number of '{name}', 0 to {most:g}.", target=name)
    return float(value)


_NAME = record(name=TEXT)
_TOTALS = dict.fromkeys(("running", "idle", "seconds", "dollars"), NUMBER)
_MOVES = {"seconds": NUMBER, "speed": NUMBER}
CALLS = (
    Call("GET", "/admin/schema", schema, answers=ANYTHING),
    Call("GET", "/admin/ledger", ledger, answers=record(rows=LIST, **_TOTALS)),
    Call("GET", "/admin/live", live, answers=record(jobs=NAMES, endpoints=NAMES)),
    Call("POST", "/admin/reset", reset, asks=record((), kinds=AREAS), answers=record(reset=AREAS)),
    Call("GET", "/admin/snapshots", snapshots, answers=record(value=NAMES)),
    Call("POST", "/admin/snapshots/save", save, asks=record(name=SNAPSHOT), answers=record(name=SNAPSHOT)),
    Call("POST", "/admin/snapshots/load", load, asks=record(name=SNAPSHOT), answers=record(name=SNAPSHOT)),
    Call("GET", "/admin/operations", operations, answers=record(value=LIST)),
    Call("POST", "/admin/operations/step", step, asks=record((), id=TEXT), answers=record(stepped=NAMES)),
    Call("POST", "/admin/endpoint-names", take_endpoint_name, asks=_NAME, answers=_NAME),
    Call("GET", "/admin/faults", fault.rules, answers=record(faults=LIST)),
    Call("POST", "/admin/faults", fault.replace, asks=FAULTS, answers=record(faults=LIST)),
    Call("POST", "/admin/permissions", permissions, asks=record(roles=ANYTHING), answers=record(roles=NAMES)),
    Call("POST", "/admin/clock", advance, asks=record((), **_MOVES), answers=record(now=TEXT)),
)

routes = [
    route(path, **{call.method: _guarded(call.handler) for call in CALLS if call.path == path})
    for path in dict.fromkeys(call.path for call in CALLS)
]
