"""Everything that carries a lease, listed; what has outlived it, or its run, is ended and seen gone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from tasks import compute, deploy, endpoint
from tasks.azure import clients, job_states, operation
from tasks.azure.clients import Session
from tasks.core.lease import Lease
from tasks.core.limit import OPERATION
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.job.pipeline import RECENT
from tasks.job.wait import cancel

Kind = Literal["endpoint", "deployment", "cluster", "job"]


class Leased(BaseModel):
    """A billed thing that carries a lease; `parent` is a deployment's endpoint, `hourly` in US dollars."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    name: str
    parent: str | None = None
    state: str
    owner: str
    run: str
    expires: datetime
    hourly: float
    kept: bool = False  # on purpose, past the end of its run
    foreign: tuple[str, ...] = ()  # deployments of others behind our endpoint

    @property
    def label(self) -> str:
        return f"{self.kind} {self.parent}/{self.name}" if self.parent else f"{self.kind} {self.name}"

    def expired(self, now: datetime) -> bool:
        return now >= self.expires

    def overdue(self, now: datetime) -> float:
        """Dollars that it has cost since its lease ended."""
        return max((now - self.expires).total_seconds(), 0.0) / 3600 * self.hourly


class Reaped(BaseModel):
    """What was ended, and the moment at which it was seen to be gone."""

    model_config = ConfigDict(frozen=True)

    item: Leased
    at: datetime
    proof: str


@stage(Stage.LIST_LEASES)
def find_leased(session: Session) -> tuple[Leased, ...]:
    """Everything in the workspace that carries our tags and is or may be billed; nothing else."""
    return (*_endpoints(session), *_clusters(session), *_live_jobs(session))


@stage(Stage.REAP, run_name="reap {item.label}", retries=5, limit=OPERATION)
def end(session: Session, item: Leased) -> Reaped:
    """Delete the thing, whatever state it is in, and return when it is seen to be gone; cancels a job."""
    _remove(session, item)
    now = datetime.now(UTC)
    moment = now.isoformat(timespec="seconds")
    proof = f"cancel asked for at {moment}" if item.kind == "job" else f"404 at {moment}"
    logger().info("Reaped %s of flow run %s: %s", item.label, item.run, proof)
    return Reaped(item=item, at=now, proof=proof)


def release(session: Session, run: str, *, training: bool) -> list[str]:
    """End what a flow run still bills: its endpoints, and with its `training` its live jobs and clusters.

    From any process at any time; what was kept on purpose outlives its run. Returns what was ended.
    """
    ended = cancel_jobs(session, run) if training else []
    for find in (_endpoints, _clusters) if training else (_endpoints,):
        ended += _end_of_run(session, find(session), run)
    return ended


def cancel_jobs(session: Session, run: str) -> list[str]:
    """Cancel the live jobs that a flow run has submitted; returns which."""
    return _end_of_run(session, _live_jobs(session), run)


def _end_of_run(session: Session, found: Iterator[Leased], run: str) -> list[str]:
    ended = []
    for item in found:
        if item.run == run and not item.kept and item.kind != "deployment":  # those go with their endpoint
            _remove(session, item)
            ended.append(item.label)
            logger().info("Released %s of flow run %s", item.label, run)
    return ended


def _remove(session: Session, item: Leased) -> None:
    if item.kind == "job":
        cancel(session, item.name)
    elif item.kind == "endpoint":
        endpoint.remove(session, item.name, item.run)
    elif item.kind == "deployment":
        deploy.remove(session, item.parent or "", item.name)
    else:
        compute.remove(session, item.name, item.run)


def _endpoints(session: Session) -> Iterator[Leased]:
    """Endpoints with our tags, and deployments with our tags behind whatever endpoint."""
    client = clients.workspace(session)
    for found in client.online_endpoints.list():
        deployments = list(client.online_deployments.list(found.name))
        behind = [leased for each in deployments if (leased := _leased("deployment", each, found.name))]
        above = _leased("endpoint", found)
        if above is not None:
            ours = {each.name for each in behind}
            foreign = tuple(each.name for each in deployments if each.name not in ours)
            # The price stands on the deployments, and it is for them that an endpoint costs.
            yield above.model_copy(update={"hourly": sum(each.hourly for each in behind), "foreign": foreign})
        for each in behind:
            # The endpoint's lease covers them: it is prolonged when kept, or when another run adopts it.
            until = max(each.expires, above.expires) if above else each.expires
            yield each.model_copy(update={"expires": until})


def _clusters(session: Session) -> Iterator[Leased]:
    for found in clients.workspace(session).compute.list():
        leased = _leased("cluster", found)
        if leased is not None:
            yield leased


def _live_jobs(session: Session) -> Iterator[Leased]:
    for found in islice(clients.workspace(session).jobs.list(), RECENT):
        leased = _leased("job", found)
        if leased is not None and leased.state not in job_states.FINAL:
            yield leased


def _leased(kind: Kind, found: Any, parent: str | None = None) -> Leased | None:
    lease = Lease.read(found.tags)
    if lease is None:
        return None
    return Leased(
        kind=kind,
        name=found.name,
        parent=parent,
        state=clients.state(found.status) if kind == "job" else operation.state(found),
        owner=lease.owner,
        run=lease.run,
        expires=lease.expires,
        hourly=lease.hourly,
        kept=lease.kept,
    )
