"""The table of routes in docs/azure.md is that of the code, with the evidence of each."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from starlette.routing import Route

from azureml_local.wire import admin, app, page, refused
from azureml_local.wire.arm import GROUP, LOCATION, REGISTRY, SUBSCRIPTION, WORKSPACE
from tests.support.checkout import ROOT

_ROW = re.compile(r"^\| (`(?:GET|PUT|POST|PATCH|DELETE) .*`) \| (.+) \|$", re.MULTILINE)
_SHORT = ((WORKSPACE, "WS"), (REGISTRY, "REG"), (LOCATION, "LOC"), (GROUP, "RG"), (SUBSCRIPTION, "SUB"))
_ASSETS = re.compile(r"^(WS|REG)/(models|data|codes|environments|components)(?=/|$)")


def rows() -> Iterator[tuple[str, str]]:
    """Each route of the table, and its evidence."""
    for found in _ROW.finditer((ROOT / "docs" / "azure.md").read_text(encoding="utf-8")):
        for route in re.findall(r"`([^`]+)`", found[1]):
            yield route, found[2]


def served() -> Iterator[tuple[str, str]]:
    """Each route of the code that Azure has too, and that is not refused: its own name, and its group's."""
    ours = {id(route) for route in (*admin.routes, *page.routes, *refused.routes)}
    for route in (*app.OPEN, *app.GUARDED):
        if isinstance(route, Route) and id(route) not in ours:
            path = short(route.path)
            for method in sorted((route.methods or set()) - {"HEAD"}):
                grouped = _ASSETS.sub(r"\1/{assets}", path)
                yield f"{method} {path}", f"{method} {grouped}"


def short(path: str) -> str:
    for prefix, name in _SHORT:
        head, found, tail = path.partition(prefix)
        if found:
            path = f"{head} {name}{tail}" if head else f"{name}{tail}"
            break
    return re.sub(r"/(experiments|experimentids)/\{experiment\}/", "/", path)


@pytest.mark.parametrize(("route", "group"), sorted(set(served())))
def test_every_route_has_its_evidence(route: str, group: str) -> None:
    known = dict(rows())
    assert route in known or group in known


def test_every_row_is_of_a_route() -> None:
    routes = {name for each in served() for name in each}
    assert [route for route, _ in rows() if route not in routes] == []


@pytest.mark.parametrize(("route", "evidence"), sorted(rows()))
def test_every_row_says_what_it_rests_on(route: str, evidence: str) -> None:
    assert re.match(r"(seen|documented|assumed)\b", evidence)
