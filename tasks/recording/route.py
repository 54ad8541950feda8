"""Where a request goes: which service, and the path with a gap in the place of every name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, urlsplit

from tasks.recording import words

GAP = "{}"
_OTHER = "other"


class Service(StrEnum):
    """Who answers."""

    MANAGEMENT = "management"  # Resource Manager, and a registry's part of it
    RUNS = "runs"  # run history, MLflow and what else a region has for workspaces
    STORAGE = "storage"
    SCORING = "scoring"


@dataclass(frozen=True)
class Route:
    """A request's service, path, api-version, and the names of the parameters of its query."""

    service: Service
    path: str
    version: str
    query: tuple[str, ...]


def route_of(url: str) -> Route | None:
    """The route of an address; None for what is not recorded: signing in, and whatever is not Azure ML."""
    address = urlsplit(url)
    found = _service(address.hostname or "", address.path)
    if found is None:
        return None
    service, path = found
    given = parse_qsl(address.query, keep_blank_values=True)
    return Route(
        service,
        path if service is Service.STORAGE else "/" + "/".join(_parts(path)),
        next((value for name, value in given if name == "api-version" and _is_version(value)), ""),
        tuple(sorted({name if name in words.QUERY else GAP for name, _ in given} - {"api-version"})),
    )


def _service(host: str, path: str) -> tuple[Service, str] | None:
    """The service, and the path below its own root.

    Storage accounts and endpoints have hosts of their own; an emulator has a part of the path for each.
    """
    first, _, rest = path.lstrip("/").partition("/")
    if ".blob." in f".{first}" or ".blob." in host or ".dfs." in host:
        return Service.STORAGE, "/{container}/{blob}"
    if host.endswith(".inference.ml.azure.com"):
        return Service.SCORING, path
    if first == "inference":
        return Service.SCORING, "/" + rest.partition("/")[2]
    if first.casefold() in ("subscriptions", "providers", "registrymanagement", "mferp"):
        return Service.MANAGEMENT, path
    if first in ("history", "mlflow", "discovery", "artifact", "metric", "assetstore"):
        return Service.RUNS, path
    return None


def _parts(path: str) -> Iterator[str]:
    before = ""
    for part in path.strip("/").split("/"):
        named = before in words.NAMED and part not in words.ACTIONS
        yield part if part in words.PARTS and not named else GAP
        # What follows a name is no name, whatever the name was.
        before = "" if named else part.casefold()


def _is_version(value: str) -> bool:
    """Whether it looks like 2024-04-01, or 2021-10-01-dataplanepreview."""
    date, _, kind = value[:10], value[10:11], value[11:]
    return date.replace("-", "").isdigit() and len(date) == 10 and (not kind or kind.isalpha())
