"""Endpoints that are busy, or whose name is not free: how long each is waited for, by the flow's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tasks.azure import clients, listing, service_clock
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.base_model import Base, find_model
from tasks.core import outage
from tasks.core.lease import Lease
from tasks.core.names import suffixed
from tasks.delete import EndpointEnd, delete_endpoint
from tasks.deploy import Deploy, Deployment, Probe, Wanted, check_deployment, deploy_model
from tasks.endpoint import Endpoint, find, of_run, open_endpoint
from tasks.job.wait import TrainedJob
from tests.conftest import LetFail, LocalServer
from tests.support.failures import fails
from tests.support.flow_clock import FlowClock

PROBE = Probe(initial_delay=1, period=1, timeout=60, failure_threshold=600)
T4 = "Standard_NC4as_T4_v3"
DEPLOY = Deploy(instance_type=T4, liveness=PROBE, readiness=PROBE)


@pytest.fixture
def name(session: Session, server: LocalServer) -> Iterator[str]:
    """A free endpoint name; what the test leaves there, or under a suffix of it, is deleted."""
    chosen = f"e-{uuid4().hex[:10]}"
    yield chosen
    server.admin("faults", {"faults": []})
    server.admin("operations/step", {})
    endpoints = clients.workspace(session).online_endpoints
    for each in list(endpoints.list()):
        if each.name.startswith(chosen):
            endpoints.begin_delete(each.name).wait()


@pytest.fixture
def step(server: LocalServer) -> Callable[[], Any]:
    """Lets the operations go on that a rule has stopped."""
    return lambda: server.admin("operations/step", {})


def job(name: str) -> TrainedJob:
    return TrainedJob(
        name=name, output="", studio_url="", queued=0, provisioning=0, running=0, cost=0, steps=()
    )


def deploy(session: Session, endpoint: Endpoint, lease: Lease, tiny: str, **change: Any) -> Deployment:
    base = find_model.fn(session, Base(name=tiny))
    size = check_deployment.fn(session, DEPLOY, base)
    wanted = Wanted(name="demo", model=base.id, size=size)
    return deploy_model.fn(session, DEPLOY.model_copy(update=change), endpoint, wanted, lease)


@pytest.mark.parametrize("missing", [False, True], ids=["taken", "not found"])
def test_a_name_that_was_deleted_a_moment_ago_is_waited_for(
    session: Session,
    name: str,
    lease: Lease,
    let_fail: LetFail,
    server: LocalServer,
    flow_clock: FlowClock,
    missing: bool,
) -> None:
    let_fail({"kind": "held-name", "path": f"onlineEndpoints/{name}", "seconds": 90, "missing": missing})
    open_endpoint.fn(session, name, job("j"), lease)
    assert delete_endpoint.fn(session, name, lease).state is EndpointEnd.DELETED
    flow_clock.now = 0
    flow_clock.at(2, lambda: server.admin("clock", {"seconds": 120}))
    assert open_endpoint.fn(session, name, job("j"), lease).name == name
    assert flow_clock.now == 2 * 60


@pytest.mark.parametrize("says", [True, False], ids=["the service says when", "it does not"])
def test_a_deletion_that_is_seen_late_was_no_later_for_that(
    session: Session,
    name: str,
    lease: Lease,
    let_fail: LetFail,
    server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    says: bool,
) -> None:
    """The service is away for ten minutes as soon as it was asked to delete."""
    clock = FlowClock.installed(monkeypatch)
    monkeypatch.setattr(outage, "sleep", clock.sleep)
    monkeypatch.setattr(outage, "monotonic", clock)
    open_endpoint.fn(session, name, job("j"), lease)
    away = {"kind": "status", "status": 503, "count": None, "headers": {"Retry-After": "0.01"}}
    silent = {"kind": "status", "status": 404, "count": None, "path": "/**/mfeOperationsStatus/*"}
    rules = [] if says else [silent]
    let_fail({**away, "method": "GET", "path": f"/**/onlineEndpoints/{name}", "nth": 2}, *rules)

    def back() -> None:
        server.admin("clock", {"seconds": 600})
        server.admin("faults", {"faults": rules})
        list(listing.clusters(session))  # by whose answer the run knows what time it is

    clock.at(10, back)
    asked = service_clock.now()
    with outage.budget(60):
        removal = delete_endpoint.fn(session, name, lease).removal
    assert clock.now >= 600
    assert removal is not None
    assert removal.ended - asked < timedelta(minutes=1)
    assert removal.is_least is not says


def test_a_name_that_stays_taken_gets_a_suffix_of_the_run(
    session: Session, name: str, lease: Lease, server: LocalServer, flow_clock: FlowClock
) -> None:
    server.admin("endpoint-names", {"name": name})
    opened = open_endpoint.fn(session, name, job("j"), lease)
    assert opened.name == suffixed(name, lease.run)
    assert opened.name.startswith(f"{name}-")
    later = lease.model_copy(update={"run": "later"})
    # By its tag: the name that follows from the job is still somebody else's.
    taken = open_endpoint.fn(session, name, job("j"), later)
    assert taken.name == opened.name
    assert taken.reused is not None
    assert of_run(session, "later") == [opened.name]
    assert delete_endpoint.fn(session, name, later).state is EndpointEnd.DELETED
    assert find(session, opened.name) is None


def test_another_jobs_endpoint_is_not_found_by_its_tag(session: Session, name: str, lease: Lease) -> None:
    open_endpoint.fn(session, name, job("j"), lease)
    assert open_endpoint.fn(session, f"{name}-x", job("k"), lease).name == f"{name}-x"


@pytest.mark.slow
def test_a_deployment_waits_until_its_endpoint_is_no_longer_updating(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail, flow_clock: FlowClock
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "updating", "method": "PUT", "path": f"{name}/deployments/demo", "count": 12})
    assert deploy(session, endpoint, lease, tiny).name == "demo"


@pytest.mark.slow
def test_a_deployment_that_stays_refused_is_given_up_after_ten_minutes(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail, flow_clock: FlowClock
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "updating", "method": "PUT", "path": f"{name}/deployments/demo", "count": None})
    begun = flow_clock.now
    with fails(Cause.IN_USE, "10 minutes") as caught:
        deploy(session, endpoint, lease, tiny)
    assert not caught.value.retryable
    assert 10 * 60 <= flow_clock.now - begun < 11 * 60


@pytest.mark.slow
def test_a_lost_lock_is_worth_another_attempt(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "lost-lock", "path": f"{name}/deployments/demo"})
    with fails(Cause.IN_USE, "Another operation") as caught:
        deploy(session, endpoint, lease, tiny)
    assert caught.value.retryable
    assert deploy(session, endpoint, lease, tiny).name == "demo"


def test_a_lack_of_capacity_is_worth_another_attempt(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "no-capacity", "path": f"{name}/deployments/demo", "method": "START"})
    with fails(Cause.CAPACITY, "free machines") as caught:
        deploy(session, endpoint, lease, tiny)
    assert caught.value.retryable


@pytest.mark.slow
def test_a_deployment_may_take_as_long_as_the_recipe_says(
    session: Session,
    name: str,
    lease: Lease,
    tiny: str,
    let_fail: LetFail,
    flow_clock: FlowClock,
    step: Callable[[], Any],
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "stuck", "method": "PUT", "path": f"{name}/deployments/demo"})
    flow_clock.at(100, step)  # longer than any header of Azure's speaks of
    # The server really starts then, while the flow's clock runs on.
    assert deploy(session, endpoint, lease, tiny, timeout_minutes=1440).name == "demo"
    assert flow_clock.now >= 100 * 60
    assert Deploy().timeout_minutes >= 90


@pytest.mark.slow
def test_a_deployment_that_takes_longer_is_given_up(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail, flow_clock: FlowClock
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "stuck", "method": "PUT", "path": f"{name}/deployments/demo"})
    with fails(Cause.TIMED_OUT, "Creating for 15 minutes"):
        deploy(session, endpoint, lease, tiny, timeout_minutes=15)


def refused(name: str) -> dict[str, Any]:
    """A deletion while another operation is under way; Azure's own words are not known."""
    message = "Another operation on the endpoint is in progress."
    return {
        "kind": "status",
        "method": "DELETE",
        "path": f"onlineEndpoints/{name}",
        "status": 409,
        "code": "Conflict",
        "message": message,
        "count": None,
    }


@pytest.mark.slow
def test_a_deletion_outlasts_an_endpoint_that_is_busy(
    session: Session, name: str, lease: Lease, let_fail: LetFail, flow_clock: FlowClock
) -> None:
    open_endpoint.fn(session, name, job("j"), lease)
    let_fail(refused(name))
    begun = flow_clock.now
    flow_clock.at(begun / 60 + 40, let_fail)
    assert delete_endpoint.fn(session, name, lease).state is EndpointEnd.DELETED
    assert flow_clock.now - begun >= 40 * 60


@pytest.mark.slow
def test_what_cannot_be_deleted_is_reported_with_its_price_and_the_command(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail, flow_clock: FlowClock
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    hourly = deploy(session, endpoint, lease, tiny).hourly
    let_fail(refused(name))
    with fails(
        Cause.DELETION, name, f"${hourly:.2f} an hour", f"az ml online-endpoint delete -n {name}"
    ) as e:
        delete_endpoint.fn(session, name, lease)
    assert not e.value.retryable
    let_fail({"kind": "stuck", "method": "DELETE", "path": f"onlineEndpoints/{name}"})
    with fails(Cause.DELETION, "still Deleting after 45 minutes", f"${hourly:.2f} an hour"):
        delete_endpoint.fn(session, name, lease)
