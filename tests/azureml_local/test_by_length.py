"""Routing by the number of parts finds what looking through all routes in their order finds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
from starlette.routing import BaseRoute, Match, Route

from azureml_local.wire import app, blob, file_system
from azureml_local.wire.by_length import ByLength

STORAGE = [*blob.routes_below("/{account}.blob.x"), *file_system.routes_below("/{account}.dfs.x")]
ROUTES = [each for each in (*app.OPEN, *STORAGE, *app.GUARDED) if isinstance(each, Route)]


def found(routes: Iterable[BaseRoute], path: str, method: str) -> tuple[Any, ...] | None:
    """What answers, and in what names; None where nothing does."""
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    partial = None
    for route in routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            return match, child["endpoint"], child["path_params"]
        if match is Match.PARTIAL and partial is None:
            partial = match, child["endpoint"], child["path_params"]
    return partial


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "BREW"])
def test_every_route_is_found_as_in_the_whole_list(method: str) -> None:
    by_length = ByLength(ROUTES)
    for route in ROUTES:
        for name, rest in (("a", "b/c"), ("x.blob.x", ""), ("1", "/")):
            path = re.sub(r"\{\w+\}", name, re.sub(r"\{\w+:path\}", rest, route.path))
            for asked in (path, f"{path}/", f"{path}/more"):
                router = by_length._routers.get(asked.count("/"), by_length._others)
                assert found(router.routes, asked, method) == found(ROUTES, asked, method), asked
