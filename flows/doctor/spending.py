"""Checks of what will be paid for: the sizes with their prices, the cluster, and the endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from azure.core.exceptions import HttpResponseError

from flows.doctor.check import Finding, Registry, fails, passes, warns
from flows.doctor.look import Look
from flows.run import cores
from tasks import compute, endpoint, quota
from tasks.azure import sizes
from tasks.azure.clients import Session
from tasks.azure.listing import Listed
from tasks.azure.sizes import Size
from tasks.core.lease import Lease
from tasks.deploy import check_deployment
from tasks.model_version import check_training_size
from tasks.quota import Room

registry = Registry()

_DENIED = 403


@registry.check("sizes and prices")
def prices(look: Look) -> Iterator[Finding]:
    """Both sizes as the region has them, and what an hour of each costs."""
    session, config = look.session.get(), look.config
    cluster = look.cluster.get()
    name = _size_of(cluster) or config.compute.size
    tuning = sizes.find(session, name)
    serving = sizes.find(session, config.deploy.instance_type)
    wanted = (("tuning", tuning, tuning.hourly(config.compute.tier)), ("serving", serving, serving.hourly()))
    for use, size, hourly in wanted:
        if hourly:
            yield passes(f"{use}: {size.name}, {_gpus(size)}, ${hourly:.2f} an hour", {"hourly": hourly})
        elif use == "tuning" and config.wait.budget_usd is not None:
            yield fails(
                f"{use}: no price of {size.name} is known, so that wait.budget_usd cannot be kept.",
                "Leave it out and set wait.timeout_hours, or let the identity read the prices.",
            )
        else:
            yield warns(
                f"{use}: {size.name}, {_gpus(size)}, at an unpublished price.",
                "Reading prices takes Microsoft.MachineLearningServices/locations/vmSizes/read on the "
                "subscription.",
            )


@registry.check("cluster")
def cluster(look: Look) -> Iterator[Finding]:
    """The cluster as it stands, or the one that a run would create, against the model."""
    session, config = look.session.get(), look.config.compute
    seen = look.cluster.own()
    base = look.base.get()
    if config.is_serverless:
        check_training_size(sizes.find(session, config.size), base)
        yield passes(f"none: serverless machines of {config.size} come with the job")
        return
    if seen is None:
        if not config.create:
            yield fails(
                f"The cluster {config.training} does not exist, and compute.create is off.",
                "Create it, or set compute.create.",
            )
            return
        check_training_size(sizes.find(session, config.size), base)
        yield passes(f"{config.training} does not exist yet, and would be created")
        return
    found = compute.check_cluster(session, look.found_cluster(session), config, base)
    yield passes(f"{found.name}: {found.size}, {seen.state}", {"state": seen.state})
    for error in _errors(seen):
        yield warns(f"The cluster reports: {error}", "See its page in the studio.")


@registry.check("deployment size")
def serving(look: Look) -> Iterator[Finding]:
    """The serving size against the model."""
    size = check_deployment.fn(look.session.get(), look.config.deploy, look.base.get())
    yield passes(f"{look.config.base.name} may be served on {size.name}")


@registry.check("quota")
def room(look: Look) -> Iterator[Finding]:
    """The quota of both families and of the region, against what is in use."""
    session, config = look.session.get(), look.config
    seen = look.cluster.get()
    tuning = sizes.find(session, _size_of(seen) or config.compute.size)
    serving = sizes.find(session, config.deploy.instance_type)
    needs = cores.needs(config, tuning, serving, exists=seen is not None)
    try:
        rows = quota.usages(session)
    except HttpResponseError as error:
        if error.status_code != _DENIED:
            raise
        yield warns(
            "The identity may not read the quota.",
            "Microsoft.MachineLearningServices/locations/usages/read on the subscription allows it.",
        )
        return
    for each in quota.rooms(needs, rows):
        yield _judged(each)


@registry.check("endpoint name")
def endpoint_name(look: Look) -> Iterator[Finding]:
    """Whether a chosen name is free in this workspace; other workspaces of the region cannot be asked."""
    session, name = look.session.get(), look.config.deploy.endpoint
    if name is None:
        yield passes("it follows from the job")
        return
    found = endpoint.find(session, name)
    if found is None:
        yield passes(f"{name} is free in this workspace")
    elif Lease.read(found.tags) is None:
        yield fails(
            f"The endpoint {name} exists, and is none of this project's.",
            "Set deploy.endpoint to another name, or leave it out.",
        )
    else:
        yield _ours(session, found)


def _judged(room: Room) -> Finding:
    facts = {"cores": room.need.cores, "used": room.used, "limit": room.limit}
    if room.verdict is quota.Verdict.TOO_SMALL:
        do = "Ask for more of it in the studio (Quota), or choose a size of another family or fewer nodes."
        return fails(f"{room}.", do, facts)
    if room.verdict is quota.Verdict.FITS:
        return passes(str(room), facts)
    return warns(f"{room}.", "`finetune reap` frees what is forgotten; else wait, or ask for more.", facts)


def _ours(session: Session, found: Any) -> Finding:
    held = Lease.read(found.tags)
    until = held.expires.isoformat(timespec="minutes") if held else "unknown"
    return warns(
        f"The endpoint {found.name} exists: flow run {held.run if held else '?'} has it until {until}.",
        "A run of another job waits for nothing, and fails: delete it, or leave deploy.endpoint out.",
    )


def _size_of(cluster: Listed | None) -> str:
    inner = (cluster.properties.get("properties") or {}) if cluster else {}
    return str(inner.get("vmSize") or "")


def _errors(cluster: Listed) -> list[str]:
    """What the cluster itself says is wrong: quota, allocation, the network."""
    inner = cluster.properties.get("properties") or {}
    found = [*(inner.get("errors") or ()), *(cluster.properties.get("provisioningErrors") or ())]
    errors = (each.get("error", each) for each in found if isinstance(each, dict))
    return [f"{each.get('code', '')}: {each.get('message', '')}" for each in errors]


def _gpus(size: Size) -> str:
    return f"{size.gpus} GPU{'' if size.gpus == 1 else 's'}" if size.gpus else "no GPU"
