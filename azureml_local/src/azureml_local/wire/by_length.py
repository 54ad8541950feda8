"""Routing among hundreds of routes, each of which is a regular expression."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute, Route, Router
from starlette.types import Receive, Scope, Send


class ByLength:
    """Routes requests as Starlette's router does, but asks only routes with as many parts as the path.

    A route with a part that takes any number (`{name:path}`), or that is no plain route, is asked of every
    path; among those that are asked the order stays as given.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        lengths = [_parts(route) for route in routes]
        self._others = Router([route for route, parts in zip(routes, lengths, strict=True) if parts is None])
        self._routers = {
            wanted: Router(
                [route for route, parts in zip(routes, lengths, strict=True) if parts in (None, wanted)]
            )
            for wanted in set(lengths) - {None}
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        router = self._routers.get(scope["path"].count("/"), self._others)
        await router(scope, receive, send)


def _parts(route: BaseRoute) -> int | None:
    """How many parts a path of the route has; None where that depends on the path."""
    if not isinstance(route, Route) or ":path}" in route.path:
        return None
    return route.path.count("/")
