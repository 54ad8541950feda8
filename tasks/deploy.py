"""Deployments: a model on machines behind an endpoint, ready to answer."""

from __future__ import annotations

from time import monotonic
from typing import Any

from pydantic import BaseModel, ConfigDict

from tasks import endpoint as endpoints
from tasks import quota, removal, spending
from tasks.azure import clients, listing, operation, service_clock, sizes
from tasks.azure.clients import Session
from tasks.azure.errors import explain, unless_missing
from tasks.azure.failure import Cause, Failure
from tasks.azure.operation import Billed
from tasks.azure.sizes import Size
from tasks.core.lease import Lease
from tasks.core.limit import OPERATION
from tasks.core.reuse import Reused
from tasks.core.stage import logger, report, stage
from tasks.core.stages import Stage
from tasks.endpoint import JOB, Endpoint
from tasks.model_version import BaseModelVersion, check_serving_size
from tasks.removal import Removal
from tasks.sections.deploy import BASE as BASE
from tasks.sections.deploy import LONGEST_START
from tasks.sections.deploy import Deploy as Deploy
from tasks.sections.deploy import Probe as Probe
from tasks.sections.deploy import Rollout as Rollout
from tasks.serving_image import ServingImage, image_of_model
from tasks.spending import Served

_LOG_LINES = 60


class Deployment(BaseModel):
    """A deployment that is ready; `hourly` in dollars, `seconds` from the request until it was ready."""

    model_config = ConfigDict(frozen=True)

    name: str
    endpoint: str
    instance_type: str
    instance_count: int
    hourly: float
    seconds: float
    reused: Reused | None = None
    image: ServingImage | None = None  # None where it is not known


class Wanted(BaseModel):
    """What a deployment shall be: a registered or a registry's model, by its id, on machines of a size."""

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    size: Size


@stage(Stage.DEPLOY_CHECK)
def check_deployment(session: Session, deploy: Deploy, base: BaseModelVersion) -> Size:
    """Refuse a size that cannot serve the model, or has no quota, before anything is trained or paid for."""
    size = sizes.find(session, deploy.instance_type)
    check_serving_size(size, base)
    _check_quota(session, deploy, size)
    return size


# Removing what it replaces takes as long as any operation; its own limit is the configuration's.
@stage(Stage.DEPLOY, limit=OPERATION + LONGEST_START * 60, run_name="deploy {wanted.name}")
def deploy_model(
    session: Session, deploy: Deploy, endpoint: Endpoint, wanted: Wanted, lease: Lease
) -> Deployment:
    """Deploy a model behind the endpoint and wait until it is ready; an equal deployment is reused.

    Raises Failure with the container's last log lines when it does not get ready.
    """
    begun = monotonic()
    name = wanted.name
    found = operation.settled(lambda: find(session, endpoint.name, name))
    holder = Lease.read(found.tags) if found is not None else None
    found_on = _usable(session, endpoint, deploy, wanted, found)
    size, count = found_on or (wanted.size, deploy.instance_count)
    lease = lease.priced(size.hourly() * count)
    image = image_of_model(session, wanted.model)
    if image is not None:
        logger().info("%s is served by %s", name, image)
    if found_on is None:
        if found is not None:
            logger().info("Replacing deployment %s, which is not what is wanted", name)
            with spending.replaced(session, endpoint.name, name, lease.run) as over:
                over(remove(session, endpoint.name, name))
        asked = service_clock.now()
        report(f"{name} on {size.name}")
        _create(session, deploy, endpoint, wanted, lease)
        ready = Served(run=lease.run, name=name, hourly=lease.hourly, created=asked, seen=service_clock.now())
        spending.note(endpoint.name, ready)
    # One made by an earlier attempt of this flow run is its own.
    own = found_on is None or (holder is not None and holder.run == lease.run)
    reused = None if own else Reused(kind="deployment", name=name, run=holder.run if holder else None)
    logger().info("Deployment %s is ready%s", name, f" (reusing {reused})" if reused else "")
    return Deployment(
        name=name,
        endpoint=endpoint.name,
        instance_type=size.name,
        instance_count=count,
        hourly=lease.hourly,
        seconds=monotonic() - begun,
        reused=reused,
        image=image,
    )


def _check_quota(session: Session, deploy: Deploy, size: Size) -> None:
    """Raise Failure for what can never be up together; in a roll-out that is the old and the new one."""
    needs = [quota.serving(size, deploy.instance_count, deploy.deployments)]
    if deploy.mode == "serve" and endpoints.find(session, deploy.endpoint or "") is not None:
        both = quota.serving(size, deploy.instance_count, 2)
        needs.append(both.model_copy(update={"counted": True}))  # the old one's cores are in use already
    quota.check(session, *needs)


def find(session: Session, endpoint: str, name: str) -> Any:
    """The SDK's deployment, or None."""
    return unless_missing(lambda: clients.workspace(session).online_deployments.get(name, endpoint))


def remove(session: Session, endpoint: str, name: str) -> Removal:
    """Delete the deployment, and return when it is seen to be gone."""
    billed = Billed(
        f"deployment {endpoint}/{name}",
        f"az ml online-deployment delete -e {endpoint} -n {name}",
        lambda: _price(session, endpoint, name),
    )
    return removal.remove(
        session,
        lambda: clients.workspace(session).online_deployments.begin_delete(name, endpoint),
        lambda: find(session, endpoint, name),
        billed,
    )


def _price(session: Session, endpoint: str, name: str) -> str:
    (found,) = (each for each in listing.deployments(session, endpoint) if each.name == name)
    size = sizes.find(session, found.size or "")
    return f"${size.hourly() * found.instances:.2f} an hour"


def _serves(found: Any, endpoint: Endpoint, model: str) -> bool:
    return (
        operation.state(found) == "Succeeded"
        and (found.tags or {}).get(JOB) == endpoint.job
        and str(found.model).casefold().endswith(model.casefold().removeprefix("azureml:"))
    )


def _usable(
    session: Session, endpoint: Endpoint, deploy: Deploy, wanted: Wanted, found: Any
) -> tuple[Size, int] | None:
    """The machines of the deployment found, if it can be used; None where it must be made.

    One on other machines than are wanted is made again, unless another run keeps it: that is a promise.
    """
    if found is None or not _serves(found, endpoint, wanted.model):
        return None
    count = int(found.instance_count)
    if (str(found.instance_type).casefold(), count) == (wanted.size.name.casefold(), deploy.instance_count):
        return wanted.size, count
    above = endpoints.find(session, endpoint.name)
    held = Lease.read(above.tags) if above is not None else None
    if held is None or not held.is_kept():
        return None
    logger().warning(
        "Deployment %s is kept by flow run %s on %d x %s, and used as it is",
        wanted.name,
        held.run,
        count,
        found.instance_type,
    )
    return sizes.find(session, found.instance_type), count


def _create(session: Session, deploy: Deploy, endpoint: Endpoint, wanted: Wanted, lease: Lease) -> None:
    from azure.ai.ml.entities import ManagedOnlineDeployment, OnlineRequestSettings, ProbeSettings

    name = wanted.name
    deployment = ManagedOnlineDeployment(
        name=name,
        endpoint_name=endpoint.name,
        model=wanted.model,
        instance_type=wanted.size.name,
        instance_count=deploy.instance_count,
        liveness_probe=ProbeSettings(**deploy.liveness.model_dump()),
        readiness_probe=ProbeSettings(**deploy.readiness.model_dump()),
        request_settings=OnlineRequestSettings(
            request_timeout_ms=deploy.request_timeout_ms,
            max_concurrent_requests_per_instance=deploy.max_concurrent_requests,
        ),
        tags={**lease.tags(), JOB: endpoint.job},
    )
    try:
        poller = operation.begin(
            lambda: clients.workspace(session).online_deployments.begin_create_or_update(deployment)
        )
        made = operation.settled(lambda: find(session, endpoint.name, name), poller, deploy.timeout_minutes)
    except Exception as error:
        raise explain(error).with_details(_log(session, endpoint.name, name)) from error
    if made is None or operation.state(made) != "Succeeded":
        raise Failure(
            f"The deployment {name} is {operation.state(made) if made else 'gone'}.",
            "See its log below.",
            _log(session, endpoint.name, name),
            cause=Cause.DEPLOYMENT,
        )


def _log(session: Session, endpoint: str, name: str) -> str:
    """The container's last lines; empty where there is no container to ask."""
    try:
        lines = clients.workspace(session).online_deployments.get_logs(name, endpoint, lines=_LOG_LINES)
    except Exception as error:  # noqa: BLE001 - the failure of the deployment is what must be reported
        return f"(its log cannot be read: {explain(error).what})"
    return f"Log of {name}:\n{lines}"
