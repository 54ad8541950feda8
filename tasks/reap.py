"""What has outlived its lease, or its run, is ended and seen gone; what is in use by then is spared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from tasks import compute, deploy, endpoint, leased, spending
from tasks.azure import job_states, listing
from tasks.azure.clients import Session
from tasks.azure.errors import explain, is_unauthorised
from tasks.azure.failure import Cause, Failure
from tasks.azure.listing import Listed
from tasks.core.limit import OPERATION
from tasks.core.stage import logger, stage
from tasks.core.stages import Stage
from tasks.job import attempts
from tasks.job.wait import cancel
from tasks.leased import Kind, Leased
from tasks.rollout import turn as turns
from tasks.spending import Served


class Reaped(BaseModel):
    """What was ended, and the moment at which it was seen to be gone."""

    model_config = ConfigDict(frozen=True)

    item: Leased
    at: datetime
    proof: str
    served: tuple[Served, ...] = ()  # what went with it, and what each has cost in all


class Released(BaseModel):
    """What of a run was ended, by what people call it, and the deployments that went with it."""

    model_config = ConfigDict(frozen=True)

    things: tuple[str, ...] = ()
    served: tuple[Served, ...] = ()


class Spared(BaseModel):
    """What was past its lease when it was listed, and is left all the same, with the reason."""

    model_config = ConfigDict(frozen=True)

    item: Leased
    why: str


@stage(Stage.REAP, run_name="reap {item.label}", retries=5, limit=2 * OPERATION)
def end(session: Session, item: Leased, at: datetime | None = None) -> Reaped | Spared:
    """Delete the thing, whatever state it is in, and return when it is seen to be gone; cancels a job.

    It is looked at again first, as what comes before it may have taken long: what is held again by now, or in
    use, is spared. Leases are judged as of `at`, by default now.
    """
    seen = _seen_now(session, item)
    why = _in_use(session, seen, at or datetime.now(UTC)) if seen is not None else None
    if why is not None:
        logger().warning("%s stays: %s", item.label, why)
        return Spared(item=item, why=why)
    served = _remove(session, seen) if seen is not None else ()
    now = datetime.now(UTC)
    moment = now.isoformat(timespec="seconds")
    proof = f"cancel asked for at {moment}" if item.kind is Kind.JOB and seen else f"404 at {moment}"
    logger().info("Reaped %s of flow run %s: %s", item.label, item.run, proof)
    return Reaped(item=item, at=now, proof=proof, served=served)


def release(session: Session, run: str, *, training: bool) -> Released:
    """End what a flow run still bills: its endpoints, and with its `training` its live jobs and clusters.

    From any process at any time; what was kept on purpose stays, and so does a cluster that a job needs.
    Returns what was ended; raises Failure at the end for what could not be.
    """
    settle_rollouts(session, run)  # first: an endpoint that was made for one goes with it
    kinds = (_jobs, _endpoints, _clusters) if training else (_endpoints,)
    return _end_of_run(session, run, kinds)


def settle_rollouts(session: Session, run: str | None = None) -> list[str]:
    """Put right the endpoints at which a lost run, or that flow run, has not ended its roll-out.

    Returns their names: the old deployment has all traffic again, or the new one where it was promoted.
    """
    settled = []
    for name, turn in list(turns.lost(session, run)):
        logger().warning("Flow run %s has not ended its roll-out at %s: putting it right", turn.run, name)
        turns.settle(session, name, turn)
        settled.append(name)
    return settled


def cancel_jobs(session: Session, run: str) -> tuple[str, ...]:
    """Cancel the live jobs that a flow run holds; returns which."""
    return _end_of_run(session, run, (_jobs,)).things


def _end_of_run(
    session: Session, run: str, kinds: tuple[Callable[[Session, str], Iterator[Leased]], ...]
) -> Released:
    ended: list[Released] = []
    left: dict[str, str] = {}
    for find in kinds:
        try:
            for item in find(session, run):
                _release_one(session, item, ended, left)
        except Exception as error:
            if is_unauthorised(error):
                raise
            left[f"what else it has of this kind ({find.__name__.strip('_')})"] = str(explain(error))
    if left:
        raise Failure(
            f"These of flow run {run} could not be ended and still cost money: {', '.join(left)}.",
            "Run `finetune reap`, or delete them in the studio.",
            "\n".join(f"{what}: {why}" for what, why in left.items()),
            retryable=True,
            cause=Cause.DELETION,
        )
    return Released(
        things=tuple(thing for each in ended for thing in each.things),
        served=tuple(served for each in ended for served in each.served),
    )


def _release_one(session: Session, item: Leased, ended: list[Released], left: dict[str, str]) -> None:
    try:
        seen = _seen_now(session, item)
        if seen is None or seen.run != item.run or seen.kept:
            return
        if item.kind is Kind.CLUSTER and (needed_by := attempts.live_on(session, item.name)):
            logger().warning("Keeping %s: still used by %s", item.label, ", ".join(j.name for j in needed_by))
            return
        served = _remove(session, seen)
    except Exception as error:  # noqa: BLE001 - the others are ended all the same, and this one reported
        left[item.label] = str(explain(error))
        return
    ended.append(Released(things=(item.label,), served=served))
    logger().info("Released %s of flow run %s", item.label, item.run)


def _jobs(session: Session, run: str) -> Iterator[Leased]:
    return (item for item in leased.live_jobs(session) if item.run == run and not item.kept)


def _clusters(session: Session, run: str) -> Iterator[Leased]:
    return (item for item in leased.clusters(session) if item.run == run and not item.kept)


def _endpoints(session: Session, run: str) -> Iterator[Leased]:
    """The endpoints that the run holds; deployments go with them."""
    found = (leased.read(session, Kind.ENDPOINT, each) for each in listing.endpoints(session))
    return (item for item in found if item is not None and item.run == run and not item.kept)


def _seen_now(session: Session, item: Leased) -> Leased | None:
    """The thing as it is at this moment; None when it is gone, or a job has ended."""
    if item.kind is Kind.JOB:
        job = listing.job(session, item.name)
        ended = job is None or job.state in job_states.FINAL
        return None if job is None or ended else _read(session, item, job)
    if item.kind is Kind.CLUSTER:
        cluster = listing.cluster(session, item.name)
        return None if cluster is None else _read(session, item, cluster)
    above = listing.endpoint(session, item.parent or item.name)
    if above is None:
        return None
    for each in leased.endpoint(session, above):
        if (each.kind, each.name) == (item.kind, item.name):
            return each
    behind = (each.name for each in listing.deployments(session, above.name))
    return _nameless(item) if item.kind is Kind.ENDPOINT or item.name in behind else None


def _read(session: Session, item: Leased, found: Listed) -> Leased:
    return leased.read(session, item.kind, found) or _nameless(item)


def _nameless(item: Leased) -> Leased:
    return item.model_copy(update={"expires": None, "run": "", "problem": "it has lost its tags"})


def _in_use(session: Session, seen: Leased, at: datetime) -> str | None:
    """Why the thing must not go at this moment; None when it may."""
    if seen.expires is None:
        return seen.problem
    if not seen.expired(at):
        return f"flow run {seen.run} holds it until {seen.expires.isoformat(timespec='minutes')}"
    if seen.foreign:
        return f"it serves {', '.join(map(str, seen.foreign))}, which carry no tags of ours"
    if seen.kind is Kind.CLUSTER and (needed_by := attempts.live_on(session, seen.name)):
        return f"it is used by {', '.join(job.name for job in needed_by)}"
    return None


def _remove(session: Session, item: Leased) -> tuple[Served, ...]:
    """End the thing; returns the deployments that are gone by then, with what they have cost.

    Their runs cannot report them any more: nobody else knows it once their tags are gone.
    """
    if item.kind is Kind.JOB:
        cancel(session, item.name)
    elif item.kind is Kind.ENDPOINT:
        behind = list(spending.behind(session, item.name))
        removal = endpoint.remove(session, item.name, item.run)
        return tuple(each.over(removal) for each in behind)
    elif item.kind is Kind.DEPLOYMENT:
        above = item.parent or ""
        behind = [each for each in spending.behind(session, above) if each.name == item.name]
        removal = deploy.remove(session, above, item.name)
        return tuple(each.over(removal) for each in behind)
    else:
        compute.remove(session, item.name, item.run)
    return ()
