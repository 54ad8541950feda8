"""The recorder: every request of the real clients in this process, seen where all of them send it."""

from __future__ import annotations

import json
import re
import threading
from contextlib import AbstractContextManager
from typing import Any

import requests

from tasks.azure.known_errors import KNOWN
from tasks.recording import words
from tasks.recording.exchange import Exchange
from tasks.recording.route import Route, Service, route_of
from tasks.recording.shape import Shaper
from tasks.recording.tap import tapped

# Lists in which other people's things stand beside our own, and say nothing of how the service answers us.
_SHARED = ("/jobs", "/computes", "/onlineEndpoints")
_LARGEST = 4 * 2**20  # bytes of a document whose shape is read


class Recorder:
    """Keeps what was said while it listens; `step` is put to what is said from then on.

    Of the lists that other people's things stand in, what does not name `own` is left out.
    """

    def __init__(self, own: str = "") -> None:
        self.step = ""
        self.own = own
        self._names: set[str] = set()
        self._seen: list[tuple[str, Route, str, int, tuple[str, ...], Any]] = []
        self._lock = threading.Lock()

    def hide(self, *names: str) -> None:
        """Let these be no word of the recording, nor any part of a path that they stand in."""
        self._names |= {name for name in names if name}

    @property
    def names(self) -> frozenset[str]:
        """All that is to be hidden."""
        return frozenset(self._names)

    def listening(self) -> AbstractContextManager[None]:
        """Record until the block ends."""
        return tapped(self._see)

    def exchanges(self) -> tuple[Exchange, ...]:
        """What was recorded; what came again within a step stands where it came first."""
        shaper = Shaper(frozenset(name.casefold() for name in self._names))
        found: dict[str, Exchange] = {}
        with self._lock:
            seen = list(self._seen)
        for step, route, method, status, headers, body in seen:
            exchange = Exchange(
                step=step,
                method=method,
                service=route.service.value,
                path=route.path,
                version=route.version,
                query=route.query,
                status=status,
                headers=headers,
                shape=None if body is None else shaper.of(body).document(),
                recognised=_recognised(status, body),
            )
            key = exchange.model_dump_json()
            before = found.get(key, exchange.model_copy(update={"times": 0}))
            found[key] = before.model_copy(update={"times": before.times + 1})
        return tuple(found.values())

    def _see(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        route = route_of(str(request.url))
        if route is None or _is_late(route, str(request.method)):
            return
        headers = tuple(sorted({name.casefold() for name in response.headers} & words.HEADERS))
        document = _document(response)
        if self.own and route.path.endswith(_SHARED):
            document = _only(document, self.own)
        seen = (self.step, route, str(request.method), response.status_code, headers, document)
        with self._lock:
            self._seen.append(seen)


def _is_late(route: Route, method: str) -> bool:
    """Whether a poller of the SDK looks at a thing on its own, at whatever moment its operation has ended."""
    is_main = threading.current_thread() is threading.main_thread()
    looks = method == "GET" and route.service is Service.MANAGEMENT
    return looks and not is_main and "Operation" not in route.path


def _document(response: requests.Response) -> Any:
    """The answer's JSON; None for another body, which is not read: a download may be long."""
    length = response.headers.get("Content-Length", "0")
    kind = response.headers.get("Content-Type", "")
    if "json" not in kind.casefold() or not length.isdigit() or int(length) > _LARGEST:
        return None
    try:
        return json.loads(response.content)
    except ValueError:
        return None


def _only(document: Any, own: str) -> Any:
    """A list's document without the items that do not name this."""
    items = document.get("value") if isinstance(document, dict) else None
    if not isinstance(items, list):
        return document
    return {**document, "value": [item for item in items if own in json.dumps(item)]}


def _recognised(status: int, body: Any) -> str:
    """Which of the errors that we know an answer is, in our own words."""
    if status < 400 or body is None:
        return ""
    text = json.dumps(body)
    return next((known.what for known in KNOWN if re.search(known.pattern, text, re.I | re.S)), "")
