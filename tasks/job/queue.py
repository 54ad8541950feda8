"""A job that is queued for long: what its cluster says of itself, as the job says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from tasks.azure import listing
from tasks.azure.clients import Session
from tasks.core.stage import logger
from tasks.sections.compute import SERVERLESS

_LONG = 600.0  # seconds in the queue until somebody wants to know why
_EVERY = 300.0  # seconds between two looks


class QueueWatch:
    """Looks at the cluster of a job that does not start, and warns of what it has not said before."""

    def __init__(self, session: Session, job: str, cluster: str) -> None:
        self._session = session
        self._job = job
        self._cluster = cluster
        self._looked: float | None = None
        self.said = ""

    def look(self, age: float) -> None:
        """Look, where the job has waited long enough; `age` in seconds since it was submitted."""
        now = monotonic()
        if self._cluster.casefold() == SERVERLESS or age < _LONG:
            return
        if self._looked is not None and now - self._looked < _EVERY:
            return
        self._looked = now
        said = describe(self._session, self._cluster)
        if said != self.said:
            self.said = said
            logger().warning("The job %s has been queued for %.0f minutes: %s", self._job, age / 60, said)


def describe(session: Session, name: str) -> str:
    """How the cluster is doing in one line: its nodes, what it is about to do, its errors."""
    found = listing.cluster(session, name)
    if found is None:
        return f"there is no cluster {name}"
    state = found.properties.get("properties") or {}
    most = (state.get("scaleSettings") or {}).get("maxNodeCount", "?")
    line = (
        f"the cluster {name} has {state.get('currentNodeCount', '?')} of at most {most} nodes, and is "
        f"{str(state.get('allocationState') or 'in an unknown state').lower()}"
    )
    return "; ".join([line, *_errors(state)])


def _errors(state: Mapping[str, Any]) -> Iterator[str]:
    """A compute's errors as the service nests them (OpenAPI 2024-04-01, AmlComputeProperties)."""
    for each in state.get("errors") or ():
        error = each.get("error") or each
        yield f"{error.get('code', 'error')}: {' '.join(str(error.get('message', '')).split())}"
