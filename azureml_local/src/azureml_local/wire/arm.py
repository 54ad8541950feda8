"""Resource Manager's shapes: paths, envelopes, pages, and what a request carries."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from azureml_local.errors import BadRequest, TooLarge, UnknownScope
from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.settings import PROVIDER
from azureml_local.state.document import D, Kind
from azureml_local.state.documents import GROUPS
from azureml_local.state.order import Position
from azureml_local.wire import authorization

SUBSCRIPTION = "/subscriptions/{subscription}"
GROUP = SUBSCRIPTION + "/resourceGroups/{group}"
WORKSPACE = GROUP + f"/providers/{PROVIDER}/workspaces/{{workspace}}"
REGISTRY = GROUP + f"/providers/{PROVIDER}/registries/{{registry}}"
LOCATION = SUBSCRIPTION + f"/providers/{PROVIDER}/locations/{{location}}"

_ESCAPED_HALF = re.compile(rb"\\u[dD][89abAB]|\\u[dD][c-fC-F]")  # of a pair, or alone
T = TypeVar("T")
Handler = Callable[[Request], Response]


def route(path: str, *, at_once: Handler | None = None, **handlers: Handler) -> Route:
    """A route whose handlers, one a method, are plain functions that run in the thread pool.

    But for `at_once`, which answers GET by looking up a document or two: to hand that to a thread and back
    takes longer than itself, and where many ask, twice as long. The body is read beforehand, for
    `body(request)`; the names of subscription, group, workspace and registry in the path are checked, and
    whether the caller may do this.
    """
    if at_once is not None:
        handlers["GET"] = at_once

    async def endpoint(request: Request) -> Response:
        _check_scope(request)
        authorization.check(request, path)
        request.state.raw = await read(request, first_of(request).settings.document_limit)
        # Starlette lets HEAD in wherever GET is; the server leaves the body of its answer out.
        method = "GET" if request.method == "HEAD" and "HEAD" not in handlers else request.method
        handler = handlers[method]
        return handler(request) if handler is at_once else await run_in_threadpool(handler, request)

    return Route(path, endpoint, methods=list(handlers))


def workspace_of(request: Request) -> Workspace:
    """The workspace that the path is about; the first one where it is about none. Raises UnknownScope."""
    first, given = first_of(request), request.path_params
    if "workspace" in given:
        return _named(first, given["group"], given["workspace"])
    if "registry" in given:
        return _registry(first, given["group"], given["registry"])
    if not (first.others or first.registries):
        return first
    if "account" in given:
        return neighbours.of_account(first, given["account"])
    if "endpoint" in given:
        return neighbours.of_endpoint(first, given["endpoint"]) or first
    if "operation" in given:
        return neighbours.of_operation(first, given["operation"]) or first
    return first


def first_of(request: Request) -> Workspace:
    """The workspace that the server began with: what the subscription and the registries have is in it."""
    return cast(Workspace, request.app.state.workspace)


async def read(request: Request, limit: int) -> bytes:
    """The whole body; raises TooLarge beyond `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"The request body is larger than the {limit} bytes allowed here.")
        chunks.append(chunk)
    return b"".join(chunks)


def body(request: Request) -> dict[str, Any]:
    """The request's JSON object; raises BadRequest when it is anything else. No body is an empty object."""
    document = parsed(request.state.raw) if request.state.raw else {}
    if not isinstance(document, dict):
        raise BadRequest("The request body must be a JSON object.", code="InvalidRequestContent")
    return document


def parsed(raw: bytes) -> Any:
    """The JSON value of a body; raises BadRequest, also for half a character, which no answer could show."""
    try:
        document = json.loads(raw)
        if _ESCAPED_HALF.search(raw):
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequest(
            f"The request body is not valid JSON: {error}.", code="InvalidRequestContent"
        ) from error
    return document


def properties(request: Request) -> dict[str, Any]:
    """The body's `properties` object; raises BadRequest when it has none."""
    value = body(request).get("properties")
    if not isinstance(value, dict):
        raise BadRequest("The request body needs an object 'properties'.", target="properties")
    return value


def resource(
    path: str, type_: str, properties: Mapping[str, Any], *, name: str | None = None, **extra: Any
) -> dict[str, Any]:
    """The envelope of an ARM resource; `type_` without the provider, e.g. "workspaces/jobs"."""
    return {
        "id": path,
        "name": name or path.rsplit("/", 1)[-1],
        "type": f"{PROVIDER}/{type_}",
        "properties": dict(properties),
        **extra,
    }


def page(
    request: Request,
    items: Sequence[T],
    *,
    size: int = 100,
    show: Callable[[T], Any] = lambda item: item,
) -> Response:
    """One page of a list that is at hand whole; as `pages`."""

    def rows(after: Position | None) -> Iterator[tuple[Position, T]]:
        last = -1 if after is None else after[0]
        if not isinstance(last, int):
            raise _foreign_token()
        return (((number, ""), items[number]) for number in range(last + 1, len(items)))

    return pages(request, rows, size=size, show=show)


def named(request: Request, *lists: tuple[Kind[D], Callable[[str, D], Any]], prefix: str = "") -> Response:
    """One page of documents in the order of their names, kind after kind, each kind shown in its own way."""
    store = workspace_of(request).store

    def rows(after: Position | None) -> Iterator[tuple[Position, Any]]:
        at, last = after or (0, "")
        if not isinstance(at, int):
            raise _foreign_token()
        for number, (kind, show) in enumerate(lists[at:], at):
            for name, document in store.by_name(kind, prefix, after=last or None):
                yield (number, name), show(name, document)
            last = ""

    return pages(request, rows)


def pages(
    request: Request,
    rows: Callable[[Position | None], Iterator[tuple[Position, T]]],
    *,
    size: int = 100,
    show: Callable[[T], Any] = lambda item: item,
) -> Response:
    """One page of a list that is read from a position on, and of which no more is read than is shown.

    `$skip` of the query says where the list begins, `$top` where it ends.
    """
    after, given = _continuation(request)
    left = max(0, integer(request, "$top", given + size + 1) - given)
    following = islice(rows(after), 0 if given else integer(request, "$skip", 0), None)
    taken = list(islice(following, min(size, left)))
    answer: dict[str, Any] = {"value": [show(item) for _, item in taken]}
    if taken and len(taken) < left and next(following, None) is not None:
        query = dict(request.query_params) | {"$skipToken": _token(taken[-1][0], given + len(taken))}
        query.pop("$skip", None)
        answer["nextLink"] = f"{workspace_of(request).settings.base_url}{request.url.path}?{urlencode(query)}"
    return JSONResponse(answer)


def created(request: Request, shown: Mapping[str, Any]) -> Response:
    """201 with a resource that takes no long operation, and where it is: the address as it was asked."""
    query = f"?{request.url.query}" if request.url.query else ""
    address = f"{workspace_of(request).settings.base_url}{request.url.path}{query}"
    return JSONResponse(shown, 201, {"Location": address})


def integer(request: Request, name: str, default: int) -> int:
    """A non-negative whole number of the query; raises BadRequest."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"The query parameter {name} must be a whole number.", target=name)
    return int(text)


def flag(request: Request, name: str, default: bool = False) -> bool:
    """A truth value of the query."""
    text = request.query_params.get(name)
    return default if text is None else text.casefold() == "true"


def _continuation(request: Request) -> tuple[Position | None, int]:
    """The position of the last item given so far, and how many were; raises BadRequest."""
    token = request.query_params.get("$skipToken")
    if token is None:
        return None, 0
    try:
        value, key, given = json.loads(gzip.decompress(base64.urlsafe_b64decode(token)))
        if not (_is_number(given) and isinstance(key, str) and (_is_number(value) or isinstance(value, str))):
            raise ValueError(token)
        f"{value}{key}".encode()  # raises for half a surrogate pair, which no document has
    except (TypeError, ValueError, RecursionError, binascii.Error, OSError, EOFError, zlib.error) as error:
        raise _foreign_token() from error
    return (value, key), given


def _foreign_token() -> BadRequest:
    return BadRequest("The $skipToken is not one of this list's.", target="$skipToken")


def _is_number(value: object) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63


def _token(last: Position, given: int) -> str:
    """Where the next page begins; as the service's, zipped text that is no client's to read (recorded)."""
    text = json.dumps([*last, given]).encode()
    return base64.urlsafe_b64encode(gzip.compress(text, mtime=0)).decode()


def _check_scope(request: Request) -> None:
    """Raise UnknownScope unless there are the subscription, group, workspace and registry of the path."""
    given, first = request.path_params, first_of(request)
    settings = first.settings
    if _differs(given.get("subscription"), settings.subscription_id):
        message = f"The subscription '{given['subscription']}' could not be found."
        raise UnknownScope(message, code="SubscriptionNotFound")
    group = str(given.get("group", settings.resource_group))
    if _differs(group, settings.resource_group) and first.store.get(GROUPS, group) is None:
        raise UnknownScope(f"Resource group '{group}' could not be found.", code="ResourceGroupNotFound")
    if "workspace" in given:
        _named(first, group, given["workspace"])
    if "registry" in given:
        _registry(first, group, given["registry"])


def _registry(first: Workspace, group: str, name: str) -> Workspace:
    found = neighbours.registry(first, name)
    if found is None or _differs(group, found.settings.resource_group):
        raise _unknown("registries", name, group)
    return found


def _named(first: Workspace, group: str, name: str) -> Workspace:
    found = neighbours.find(first, group, name)
    if found is None:
        raise _unknown("workspaces", name, group)
    return found


def _unknown(collection: str, name: str, group: str) -> UnknownScope:
    return UnknownScope(  # recorded of a workspace in 2022
        f"The Resource '{PROVIDER}/{collection}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )


def _differs(given: str | None, name: str) -> bool:
    return given is not None and given.casefold() != name.casefold()
