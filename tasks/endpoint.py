"""The endpoint: created under a lease, or reused from an earlier run of the same job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from tasks import leased, removal
from tasks.azure import clients, listing, operation
from tasks.azure.clients import Session
from tasks.azure.errors import explain, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.azure.operation import Billed
from tasks.core.lease import PREFIX, Lease, unless_recreated
from tasks.core.limit import OPERATION
from tasks.core.names import endpoint_name, suffixed
from tasks.core.reuse import Reused
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.job.pipeline import Plan
from tasks.job.wait import TrainedJob
from tasks.removal import Removal

JOB = f"{PREFIX}job"
_WRITES = 5  # of one change, until it is seen to stand
# A name that was deleted a moment ago is refused for a while (azureml-examples #1930, #1931).
_ASKED, _PAUSE = 3, 60.0  # times, and seconds between them


class Endpoint(BaseModel):
    """An online endpoint that serves the model of a job."""

    model_config = ConfigDict(frozen=True)

    name: str
    job: str
    reused: Reused | None = None


class Change(BaseModel):
    """An endpoint's tags, and the shares of its traffic in percent by deployment, without those of none."""

    model_config = ConfigDict(frozen=True)

    tags: dict[str, str]
    traffic: dict[str, int]

    @field_validator("traffic", mode="after")
    @classmethod
    def _without_none(cls, traffic: dict[str, int]) -> dict[str, int]:
        return {name: share for name, share in traffic.items() if share}

    @classmethod
    def of(
        cls, found: Any, tags: dict[str, str] | None = None, traffic: dict[str, int] | None = None
    ) -> Change:
        """What the SDK's endpoint has, but for what is given."""
        return cls(tags=tags or found.tags or {}, traffic=traffic or found.traffic or {})


def name_of(session: Session, chosen: str | None, plan: Plan, job: TrainedJob) -> str:
    """The endpoint's name: the user's, or one that follows from the job."""
    return chosen or endpoint_name(plan.dataset, job.name, session.workspace_id)


@stage(Stage.ENDPOINT, limit=OPERATION)
def open_endpoint(
    session: Session, name: str, job: TrainedJob, lease: Lease, fixed: bool = False
) -> Endpoint:
    """Create the endpoint, or take over the one that an earlier run of the same job left.

    Where the name stays taken, one with a suffix of the run is used, unless it is `fixed` since somebody has
    chosen it. Raises Failure when the name belongs to something else.
    """
    if fixed:
        return _open(session, name, job, lease)
    if find(session, name) is None and (left := _left(session, job.name)) is not None:
        name = left
    try:
        return _open(session, name, job, lease)
    except Failure as failure:
        if failure.cause is not Cause.NAME_TAKEN or find(session, name) is not None:
            raise
        another = suffixed(name, lease.run)
        logger().warning("%s The endpoint is called %s instead", failure.what, another)
        return _open(session, another, job, lease)


def not_ours(name: str) -> Failure:
    """The failure of a name that belongs to somebody else."""
    return Failure(
        f"The endpoint name {name!r} is taken by an endpoint that this project did not create.",
        "Set deploy.endpoint to another name.",
        cause=Cause.NAME_TAKEN,
    )


def of_run(session: Session, run: str) -> list[str]:
    """The names of the endpoints that the run holds, by their tags, but for those kept on purpose."""
    held = ((each.name, Lease.read(each.tags)) for each in listing.endpoints(session))
    return [name for name, lease in held if lease is not None and lease.run == run and not lease.is_kept()]


def _left(session: Session, job: str) -> str | None:
    """The name of an endpoint of ours that serves the job, whatever it is; None where there is none."""
    found = (
        each.name
        for each in listing.endpoints(session)
        if each.tags.get(JOB) == job and Lease.read(each.tags) is not None and each.state != "Deleting"
    )
    return next(found, None)


def _open(session: Session, name: str, job: TrainedJob, lease: Lease) -> Endpoint:
    while True:
        found = find(session, name)
        if found is None:
            purpose = f"Serves the model of the job {job.name} to prove that it answers."
            if create(session, name, purpose, {**lease.tags(), JOB: job.name}):
                return Endpoint(name=name, job=job.name)
            continue  # another run has deleted it meanwhile
        holder = Lease.read(found.tags)
        if holder is None:
            raise not_ours(name)
        if found.tags.get(JOB) != job.name and not holder.expired():
            served = f"the job {found.tags[JOB]}" if JOB in found.tags else "for good (deploy.mode serve)"
            raise Failure(
                f"The endpoint {name!r} serves {served}.",
                "Set deploy.endpoint to another name, or delete it.",
                cause=Cause.IN_USE,
            )
        state = operation.state(found)
        if state == "Deleting":
            until_gone(session, name, holder.run)
        elif not operation.is_settled(found):
            operation.settled(lambda: find(session, name))
        elif state != "Succeeded" or found.tags.get(JOB) != job.name:
            logger().info("Endpoint %s is %s: creating it again", name, state)
            remove(session, name, holder.run)
        else:
            return _take_over(session, found, holder, job, lease)


def lost(session: Session, endpoint: Endpoint, lease: Lease) -> bool:
    """Whether another run of the same job, which shares the endpoint, has deleted it or taken it over."""
    found = find(session, endpoint.name)
    if found is None or operation.state(found) == "Deleting":
        return True
    holder = Lease.read(found.tags)
    return holder is None or (holder.run != lease.run and not holder.is_kept())


@stage(Stage.TRAFFIC, limit=OPERATION)
def route(session: Session, endpoint: Endpoint, deployment: str, lease: Lease) -> None:
    """Send all traffic to one deployment; a run that holds the endpoint renews its lease with it."""

    def routed(found: Any) -> Change:
        held = Lease.read(found.tags)
        own = held is not None and held.run == lease.run and not held.is_kept()
        due = own and held is not None and not lease.is_covered_by(held)
        tags = lease.over(held).on(found.tags) if due else None
        return Change.of(found, tags, {deployment: 100})

    if change(session, endpoint.name, routed) is None:
        raise Failure(
            f"The endpoint {endpoint.name!r} is gone.",
            "Run again: the job and its model are kept.",
            cause=Cause.NOT_FOUND,
        )


def find(session: Session, name: str) -> Any:
    """The SDK's endpoint, or None."""
    return unless_missing(lambda: clients.workspace(session).online_endpoints.get(name))


def change(session: Session, name: str, wanted: Callable[[Any], Change]) -> Any:
    """Make the endpoint what is wanted of it as it is now; returns it as seen then, None when it is gone.

    The service knows no condition for this write: what is written is worked out right before it and looked at
    after it, as another run may have written at the same time.
    """
    for _ in range(_WRITES):
        found = operation.settled(lambda: find(session, name))
        if found is None:
            return None
        asked = wanted(found)
        if asked == Change.of(found):
            return found
        found.tags, found.traffic = asked.tags, asked.traffic
        poller = operation.begin(lambda: _put(session, found))  # noqa: B023 - called at once
        operation.settled(lambda: find(session, name), poller)
    raise Failure(
        f"The endpoint {name!r} is changed by others again and again.",
        "It is tried again.",
        retryable=True,
        cause=Cause.IN_USE,
    )


def remove(session: Session, name: str, run: str | None) -> Removal:
    """Delete the endpoint that the run holds, with its deployments, and return when it is seen to be gone.

    It may have been created again by then: another run of the same job waits for nothing but this.
    """
    report(f"deleting {name}")
    return removal.remove(
        session,
        lambda: clients.workspace(session).online_endpoints.begin_delete(name),
        lambda: unless_recreated(find(session, name), run),
        _billed(session, name),
    )


def create(session: Session, name: str, purpose: str, tags: dict[str, str]) -> bool:
    """Create the endpoint; False when another run was there first, or it was deleted at once."""
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    report(f"creating {name}")
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key", description=purpose, tags=tags)
    poller = _put_free(session, endpoint)
    if poller is None:
        return False
    made = operation.settled(lambda: find(session, name), poller)
    if made is None or operation.state(made) == "Deleting":
        return False
    if operation.state(made) != "Succeeded":
        raise Failure(
            f"The endpoint {name!r} could not be created.",
            "See its page in the studio.",
            cause=Cause.DEPLOYMENT,
        )
    logger().info("Created endpoint %s", name)
    return True


def _put_free(session: Session, endpoint: Any) -> Any:
    """Put a new endpoint; while its name is refused although there is none, again some times.

    Returns None where there is one by now.
    """
    for attempt in range(1, _ASKED + 1):
        try:
            return operation.begin(lambda: _put(session, endpoint))
        except Exception as error:
            failure = explain(error)
            if failure.cause is not Cause.NAME_TAKEN:
                raise
            if find(session, endpoint.name) is not None:
                return None
            if attempt == _ASKED:
                raise Failure(
                    failure.what, "Set deploy.endpoint to another name.", cause=Cause.NAME_TAKEN
                ) from error
        report(f"the name {endpoint.name} is not free yet")
        operation.wait(_PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _put(session: Session, endpoint: Any) -> Any:
    return clients.workspace(session).online_endpoints.begin_create_or_update(endpoint)


def _take_over(session: Session, found: Any, holder: Lease, job: TrainedJob, lease: Lease) -> Endpoint:
    if holder.run == lease.run:
        return Endpoint(name=found.name, job=job.name)
    change(session, found.name, lambda now: _held(now, lease))
    reused = Reused(kind="endpoint", name=found.name, run=holder.run)
    logger().info("Reusing %s", reused)
    return Endpoint(name=found.name, job=job.name, reused=reused)


def _held(found: Any, lease: Lease) -> Change:
    """The endpoint under the run's lease; one that is kept is used, and stays the other run's."""
    held = Lease.read(found.tags)
    is_free = held is not None and not held.is_kept() and held.run != lease.run
    return Change.of(found, lease.over(held).on(found.tags) if is_free else None)


def until_gone(session: Session, name: str, run: str | None) -> None:
    """Wait until the endpoint is gone whose deletion is under way."""
    operation.gone(lambda: unless_recreated(find(session, name), run), _billed(session, name))


def _billed(session: Session, name: str) -> Billed:
    def price() -> str:
        above = listing.endpoint(session, name)
        held = leased.endpoint(session, above) if above is not None else iter(())
        return next((each.price for each in held), "what its deployments do")

    return Billed(f"endpoint {name!r}", f"az ml online-endpoint delete -n {name}", price)
