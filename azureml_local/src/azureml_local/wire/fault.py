"""The fault switch on the wire: requests that fail as the rules say, and the route that sets them."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from azureml_local.errors import BadRequest, QuotaExceeded, ServiceError, Throttled, Unauthorized
from azureml_local.settings import PROVIDER
from azureml_local.state.faults import (
    BadRule,
    Delay,
    ExpiredToken,
    Fault,
    Quota,
    Reset,
    Status,
    Stuck,
    Truncate,
    Updating,
    operation_sticks,
    parse,
)
from azureml_local.state.workspace import WorkspaceState
from azureml_local.wire import error_answer, inferencing
from azureml_local.wire.arm import parsed, workspace_of

# The kinds that happen to requests; the others happen to what the workspace does.
_OF_REQUESTS = (Status, Delay, Reset, Truncate, Stuck, Quota, ExpiredToken, Updating)


class FaultSwitch:
    """Wraps the whole application and lets requests fail; the admin routes always answer.

    It must be what the server calls directly: to reset a connection it takes the transport from the server's
    own `send`.
    """

    def __init__(self, app: ASGIApp, state: WorkspaceState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/admin/"):
            await self._app(scope, receive, send)
            return
        replaced = self._state.faults.replaced  # asked for first, or other rules might come in between
        fault = self._state.faults.at(scope["method"], scope["path"], *_OF_REQUESTS)
        refusal = _refusal(self._state, scope["path"], fault)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            if isinstance(fault, Delay):
                await asyncio.wait([asyncio.wrap_future(replaced)], timeout=fault.seconds)
            await self._disturb(fault, scope, receive, send)

    async def _disturb(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, in part or to nobody, as the fault says."""
        match fault:
            case Stuck():
                token = operation_sticks.set(True)
                try:
                    await self._app(scope, receive, send)
                finally:
                    operation_sticks.reset(token)
            case Reset():
                if fault.acted:
                    await self._app(scope, receive, _swallow)
                await _reset(receive, send)
            case Truncate():
                await self._truncate(fault, scope, receive, send)
            case _:
                await self._app(scope, receive, send)

    async def _truncate(self, fault: Truncate, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the application answer, then send its headers, with the full length, and a part of its body."""
        start: Message = {}
        chunks: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                chunks.append(message.get("body", b""))

        await self._app(scope, receive, collect)
        whole = b"".join(chunks)
        kept = len(whole) // 2 if fault.bytes is None else min(fault.bytes, max(0, len(whole) - 1))
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        start["headers"] = [*headers, (b"content-length", str(len(whole)).encode())]
        await send(start)
        await send({"type": "http.response.body", "body": whole[:kept], "more_body": True})
        _transport(send).close()  # after what has been written
        await _gone(receive)


def rules(request: Request) -> Response:
    """The rules in force, and how many calls each has matched."""
    return JSONResponse({"faults": workspace_of(request).faults.report()})


def replace(request: Request) -> Response:
    """Put other rules in force, a list or an object with it as `faults`; an empty list ends all faults."""
    try:
        wanted = parse(parsed(request.state.raw or b"{}"))
    except BadRule as error:
        raise BadRequest(f"The fault rules are wrong: {error}", target="faults") from error
    workspace_of(request).faults.replace(wanted)
    return rules(request)


def _refusal(state: WorkspaceState, path: str, fault: Fault | None) -> Response | None:
    """The answer that a fault gives in place of the application's, None when it gives none."""
    if isinstance(fault, Status):
        return _status(state, path, fault)
    error = _error(path, fault)
    return None if error is None else error_answer.answer(state, path, error)


def _error(path: str, fault: Fault | None) -> ServiceError | None:
    match fault:
        case Quota():
            return _quota(path, fault)
        case ExpiredToken():
            return Unauthorized(
                "The access token expiry UTC time has passed.", code="ExpiredAuthenticationToken"
            )
        case Updating():
            endpoint = re.search("/onlineEndpoints/([^/]+)/", path, re.IGNORECASE)
            return inferencing.endpoint_busy(endpoint[1] if endpoint else "", "Updating")
    return None


def _status(state: WorkspaceState, path: str, fault: Status) -> Response:
    if fault.body is None:
        answer = error_answer.answer(state, path, _of_status(path, fault))
        answer.headers.update(fault.headers)
        return answer
    if isinstance(fault.body, str):
        return Response(fault.body, fault.status, dict(fault.headers), "text/plain")
    return JSONResponse(fault.body, fault.status, dict(fault.headers))


def _of_status(path: str, fault: Status) -> ServiceError:
    if fault.status == 429 and not fault.code and error_answer.is_resource_managers(path):
        seconds = fault.headers.get("Retry-After", "5")
        # As users printed it, of other providers behind the same gateway (alzlib #168, azqr #34).
        return Throttled(
            fault.message
            or f"Number of requests for {PROVIDER} exceeded the limit of '120' for time interval '00:01:00'. "
            f"Please try again after '{seconds}' seconds."
        )
    usual = "The server is busy. Try again later."
    return ServiceError(fault.status, fault.code or "ServerBusy", fault.message or usual)


def _quota(path: str, fault: Quota) -> ServiceError:
    if "/deployments/" in path.lower():
        return inferencing.quota_refused(fault.message)
    kinds = {"computes": "ClusterCoreQuotaReached", "jobs": "JobNodeCountExceedsCoreQuota"}
    code = next((code for part, code in kinds.items() if f"/{part}/" in path.lower()), "QuotaExceeded")
    return QuotaExceeded(fault.message, code=code)


async def _swallow(message: Message) -> None:
    """The answer that nobody gets."""


async def _reset(receive: Receive, send: Send) -> None:
    """Close the connection with a TCP reset, as a load balancer does that has lost the server behind it."""
    transport = _transport(send)
    connection: socket.socket = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _gone(receive)


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the client is gone, so that it does not try to answer itself."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _transport(send: Send) -> Any:
    """The connection under the server's `send`; ASGI itself has no way to break one."""
    return send.__self__.transport  # type: ignore[attr-defined]
