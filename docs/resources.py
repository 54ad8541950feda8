"""Writes docs/resources.md: what the local workspace answers of Azure ML's interface, from its routes.

uv run python -m docs.resources
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from starlette.routing import Route

from azureml_local.settings import PROVIDER
from azureml_local.wire import refused
from azureml_local.wire.app import GUARDED
from azureml_local.wire.arm import GROUP, LOCATION, REGISTRY, SUBSCRIPTION, WORKSPACE

PAGE = Path(__file__).with_suffix(".md")

_METHODS = ("GET", "PUT", "PATCH", "POST", "DELETE")
# Where a path begins, longest first, and what is said for it.
_SCOPES: Mapping[str, str] = {
    "/history/v1.0" + WORKSPACE: "run history",
    "/data/v1.0" + WORKSPACE: "data",
    "/artifact/v2.0" + WORKSPACE: "artifacts",
    "/mlflow/{version}" + WORKSPACE: "MLflow",
    WORKSPACE: "a workspace",
    REGISTRY: "a registry",
    LOCATION: "a region",
    GROUP + f"/providers/{PROVIDER}": "a resource group",
    GROUP: "a resource group",
    SUBSCRIPTION: "the subscription",
}

_INTRODUCTION = """\
# What the local workspace answers

<!-- Made by `uv run python -m docs.resources` from the routes of azureml_local: change it there. -->

Every route that a client of Azure ML can ask, and the methods that it takes. What is refused is answered with
status 400, the code `UserError` and the reason. How much was seen on Azure is
[in a table](azure.md#how-sure-we-are); what it does not do within these routes is
[in a list](local-workspace.md#what-it-does-not-do).
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_INTRODUCTION, *_served(), "", "## Refused", "", *_refused()]) + "\n"


def _served() -> Iterator[str]:
    yield "| of | path | methods |"
    yield "| --- | --- | --- |"
    ours = {route.path for route in refused.routes}
    for route in GUARDED:
        if isinstance(route, Route) and route.path not in ours:
            scope, path = _parts(route.path)
            methods = ", ".join(method for method in _METHODS if method in (route.methods or ()))
            yield f"| {scope} | `{path or '/'}` | {methods} |"


def _refused() -> Iterator[str]:
    yield "| path | why |"
    yield "| --- | --- |"
    for collection, why in refused.COLLECTIONS.items():
        yield f"| `/{collection}` | {why} |"


def _parts(path: str) -> tuple[str, str]:
    """What the path is of, and what comes after that."""
    for prefix, scope in _SCOPES.items():
        if path.startswith(prefix):
            return scope, path[len(prefix) :]
    return "the service", path


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
