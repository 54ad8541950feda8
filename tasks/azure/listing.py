"""What a workspace holds, listed from the service's documents as they are.

azure-ai-ml parses each job whole: one that it cannot parse, as somebody else's may always be, comes out as
None or ends the list. Here only what every document has is read, and the rest is kept as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tasks.azure import clients, job_states
from tasks.azure.clients import Session
from tasks.azure.errors import unless_missing

_VERSION = "2024-04-01"
_NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Listed:
    """A document of the service: its name, its tags, the state it is in, and its own properties.

    The state is a job's status and everything else's provisioning state; empty where it has none.
    """

    name: str
    state: str
    tags: Mapping[str, str]
    created: datetime | None
    properties: Mapping[str, Any]
    document: Mapping[str, Any]

    @property
    def size(self) -> str | None:
        """A deployment's VM size."""
        return self.properties.get("instanceType")

    @property
    def instances(self) -> int:
        """A deployment's machines."""
        count = _mapping(self.document.get("sku")).get("capacity")
        return count if isinstance(count, int) else 1

    @property
    def is_pipeline(self) -> bool:
        """Whether a job has steps, which do its work."""
        return str(self.properties.get("jobType")).casefold() == "pipeline"

    @property
    def is_live(self) -> bool:
        """Whether a job may still need its compute."""
        return self.state not in job_states.OVER

    def needs(self, cluster: str) -> bool:
        """Whether a job names the cluster, for whichever of its steps and in whatever way.

        Jobs of every kind say it elsewhere: as `computeId`, as a node's, as a pipeline's default, as an input
        of a pipeline component.
        """
        wanted = cluster.casefold()
        return any(text == wanted or text.endswith(f"/computes/{wanted}") for text in _texts(self.properties))


def endpoints(session: Session) -> Iterator[Listed]:
    """The online endpoints."""
    return _listed(session, "onlineEndpoints")


def deployments(session: Session, endpoint: str) -> Iterator[Listed]:
    """The deployments behind an endpoint; none where it has gone meanwhile."""
    found = unless_missing(lambda: list(_listed(session, f"onlineEndpoints/{endpoint}/deployments")))
    return iter(found or ())


def clusters(session: Session) -> Iterator[Listed]:
    """The computes of every type."""
    return _listed(session, "computes")


def jobs(session: Session, tag: str | None = None) -> Iterator[Listed]:
    """The submitted jobs of every kind, also archived ones, as they may run; with a tag of that key only.

    The filter takes a key (OpenAPI, Jobs_List); values are for the caller to compare.
    """
    return _listed(session, "jobs", listViewType="All", **({"tag": tag} if tag else {}))


def job(session: Session, name: str) -> Listed | None:
    """One job, or None."""
    return _one(session, f"jobs/{name}")


def cluster(session: Session, name: str) -> Listed | None:
    """One compute, or None."""
    return _one(session, f"computes/{name}")


def endpoint(session: Session, name: str) -> Listed | None:
    """One online endpoint, or None."""
    return _one(session, f"onlineEndpoints/{name}")


def submitted(session: Session, name: str) -> Listed:
    """A job that is there; raises the service's 404 otherwise."""
    return _read(clients.read(session, f"{session.workspace_id}/jobs/{name}", _VERSION))


def tag_job(session: Session, name: str, tags: Mapping[str, str]) -> None:
    """Set tags of a job beside those that it has now.

    The document goes back as it was read, which is how azure-ai-ml archives a job: nothing else may change.
    """
    path = f"{session.workspace_id}/jobs/{name}"
    document = clients.read(session, path, _VERSION)
    properties = document["properties"]
    changed = {**properties, "tags": {**(properties.get("tags") or {}), **tags}}
    clients.write(session, path, _VERSION, {"properties": changed})


def moment(text: Any) -> datetime | None:
    """A time as the service writes it, UTC; None for what is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _one(session: Session, path: str) -> Listed | None:
    found = unless_missing(lambda: clients.read(session, f"{session.workspace_id}/{path}", _VERSION))
    return None if found is None else _read(found)


def _listed(session: Session, kind: str, **query: str) -> Iterator[Listed]:
    """Each thing once: what is made while the pages are read shifts the rest, so that some come again."""
    seen: set[str] = set()
    for document in clients.pages(session, f"{session.workspace_id}/{kind}", _VERSION, query):
        found = _read(document)
        if found.name not in seen:
            seen.add(found.name)
            yield found


def _read(document: Mapping[str, Any]) -> Listed:
    properties = _mapping(document.get("properties"))
    tags = {**_mapping(document.get("tags")), **_mapping(properties.get("tags"))}  # a job's are below
    system = _mapping(document.get("systemData"))
    return Listed(
        name=str(document.get("name") or ""),
        state=str(properties.get("status") or properties.get("provisioningState") or ""),
        tags={name: str(value) for name, value in tags.items() if value is not None},
        created=moment(system.get("createdAt") or properties.get("createdOn")),
        properties=properties,
        document=document,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _texts(value: Any) -> Iterable[str]:
    """Every text within a document, in lower case."""
    if isinstance(value, str):
        yield value.casefold()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
