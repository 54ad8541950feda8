"""Headers that every answer has: ids to find the request by, and Resource Manager's limits."""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from azureml_local.state.clock import Clock

# What is left of a window when nobody else asks (recorded in 2025; 11999, 1199 and 14999 in 2022). Nothing
# here counts them down: a rule of kind `status` answers 429.
_READS = {"subscription-reads": "1099", "subscription-global-reads": "16499"}
_WRITES = {"subscription-writes": "799", "subscription-global-writes": "11999"}
_DELETES = {"subscription-deletes": "799"}
# A PUT of a deployment is counted by itself.
_DEPLOYMENTS = {"subscription-resource-requests": "24"}
_DEPLOYMENT = re.compile(r".*/(online|batch)Endpoints/[^/]+/deployments/[^/]+$", re.IGNORECASE)


class AnswerHeaders:
    """Gives every answer the ids by which Azure's support, or this server's log, finds a request again.

    Those of Resource Manager say besides how many more requests it would take; the other services do not
    (recorded of run history). And the time of day, as all of Azure does: the workspace's own.
    """

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id
        found = {"x-ms-request-id": request_id, "x-ms-correlation-request-id": request_id}
        found |= _remaining(scope["method"], scope["path"])
        found["date"] = _date(int(self._clock.timestamp()))
        added = [(name.encode(), value.encode()) for name, value in found.items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, send_with_headers)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _remaining(method: str, path: str) -> dict[str, str]:
    if not re.match("/subscriptions/", path, re.IGNORECASE):
        return {}
    if method == "GET":
        left = _READS
    elif method == "DELETE":
        left = _DELETES
    else:
        left = _DEPLOYMENTS if method == "PUT" and _DEPLOYMENT.match(path) else _WRITES
    return {f"x-ms-ratelimit-remaining-{name}": count for name, count in left.items()}
