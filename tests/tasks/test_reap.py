"""Reaping through the SDK: what is expired goes, in whatever state; what is not ours or not due stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from flows.reap import due_of
from tasks import compute, deploy, endpoint
from tasks.azure import clients, service_clock
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.core.lease import Lease
from tasks.job.attempts import find as find_job
from tasks.leased import Leased, find_leased
from tasks.reap import Reaped, end
from tests.conftest import LetFail
from tests.support.failures import fails
from tests.support.waiting import until

_SIZE = "Standard_DS3_v2"
_ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"


def lease(hours: float, hourly: float = 0.0) -> Lease:
    return Lease(
        owner="ann", run=str(uuid4()), expires=datetime.now(UTC) + timedelta(hours=hours), hourly=hourly
    )


EXPIRED, LIVE = -2.0, 2.0


@pytest.fixture
def make_endpoint(session: Session) -> Iterator[Callable[..., str]]:
    """Makes endpoints; those that a test leaves are deleted after it."""
    made: list[str] = []

    def make(tags: dict[str, str], *, wait: bool = True) -> str:
        from azure.ai.ml.entities import ManagedOnlineEndpoint

        name = f"ep-{uuid4().hex[:12]}"
        made.append(name)
        client = clients.workspace(session).online_endpoints
        poller = client.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode="key", tags=tags))
        if wait:
            poller.wait()
        return name

    yield make
    for name in made:
        if endpoint.find(session, name) is not None:
            endpoint.remove(session, name, None)


def make_deployment(session: Session, above: str, name: str, tags: dict[str, str]) -> None:
    """A deployment that Azure has no machines for: Failed, and there all the same."""
    from azure.ai.ml.entities import ManagedOnlineDeployment
    from azure.core.exceptions import HttpResponseError

    made = clients.workspace(session).online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name=name,
            endpoint_name=above,
            model="azureml://registries/azureml/models/SmolLM2-135M-Instruct/versions/1",
            instance_type="Standard_NC4as_T4_v3",
            instance_count=1,
            tags=tags,
        )
    )
    with pytest.raises(HttpResponseError):
        made.result()


def make_cluster(session: Session, tags: dict[str, str]) -> str:
    from azure.ai.ml.entities import AmlCompute

    name = f"cl-{uuid4().hex[:8]}"
    cluster = AmlCompute(name=name, size=_SIZE, max_instances=1, tags=tags)
    clients.workspace(session).compute.begin_create_or_update(cluster).wait()
    return name


def listed(session: Session, name: str, parent: str | None = None) -> Leased | None:
    found = [each for each in find_leased.fn(session).leased if (each.name, each.parent) == (name, parent)]
    assert len(found) <= 1
    return found[0] if found else None


def due(session: Session) -> set[str]:
    return {item.label for item in due_of(find_leased.fn(session).leased, datetime.now(UTC))}


def test_an_expired_endpoint_is_due_and_ends_with_a_proof(
    session: Session, make_endpoint: Callable[..., str]
) -> None:
    name = make_endpoint(lease(EXPIRED).tags())
    found = listed(session, name)
    assert found is not None
    assert found.label in due(session)
    before = datetime.now(UTC)
    reaped = end.fn(session, found)
    assert isinstance(reaped, Reaped)
    assert reaped.proof.startswith("404 at ")
    assert before <= reaped.at <= datetime.now(UTC)
    assert endpoint.find(session, name) is None


def test_what_still_has_its_lease_and_what_is_not_ours_is_not_due(
    session: Session, make_endpoint: Callable[..., str]
) -> None:
    ours, theirs = make_endpoint(lease(LIVE).tags()), make_endpoint({"owner": "somebody else"})
    almost = make_endpoint({"finetune.owner": "ann", "finetune.run": "r"})  # tags that state no lease
    assert not {f"endpoint {name}" for name in (ours, theirs, almost)} & due(session)
    assert listed(session, ours) is not None
    assert listed(session, theirs) is None
    unreadable = listed(session, almost)
    assert unreadable is not None
    assert (unreadable.expires, unreadable.problem) == (None, "it has no tag finetune.expires")


def test_a_half_created_endpoint_is_deleted(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    let_fail({"path": "onlineEndpoints/*", "method": "PUT", "kind": "stuck"})
    name = make_endpoint(lease(EXPIRED).tags(), wait=False)
    found = listed(session, name)
    assert found is not None
    assert found.state == "Creating"
    end.fn(session, found)
    assert endpoint.find(session, name) is None


@pytest.mark.slow
def test_a_failed_deployment_goes_with_its_endpoint_and_tells_its_price(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    let_fail({"path": "/onlineEndpoints/**", "method": "START", "kind": "no-capacity"})
    tags = lease(EXPIRED, hourly=0.5)
    name = make_endpoint(tags.priced(0).tags())
    make_deployment(session, name, "demo", tags.tags())
    below, above = listed(session, "demo", name), listed(session, name)
    assert below is not None
    assert above is not None
    assert (below.state, above.hourly) == ("Failed", 0.5)
    assert above.expires is not None
    assert above.overdue(above.expires + timedelta(hours=3)) == pytest.approx(1.5)
    assert {above.label} == {label for label in due(session) if name in label}
    ended = end.fn(session, above)
    assert isinstance(ended, Reaped)
    (served,) = ended.served
    assert (served.name, served.hourly, served.run) == ("demo", 0.5, tags.run)
    assert served.ended is not None
    assert (
        served.created < served.ended <= service_clock.now() + timedelta(seconds=1)
    )  # it tells whole seconds
    assert endpoint.find(session, name) is None


def test_a_deployment_of_ours_behind_anothers_endpoint_goes_alone(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    let_fail({"path": "/onlineEndpoints/**", "method": "START", "kind": "no-capacity"})
    name = make_endpoint({"owner": "somebody else"})
    make_deployment(session, name, "demo", lease(EXPIRED).tags())
    found = listed(session, "demo", name)
    assert found is not None
    assert {label for label in due(session) if name in label} == {f"deployment {name}/demo"}
    ended = end.fn(session, found)
    assert isinstance(ended, Reaped)
    assert [each.name for each in ended.served] == ["demo"]
    assert deploy.find(session, name, "demo") is None
    assert endpoint.find(session, name) is not None


def test_our_endpoint_stays_while_somebody_elses_deployment_stands_behind_it(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    let_fail({"path": "/onlineEndpoints/**", "method": "START", "kind": "no-capacity"})
    name = make_endpoint(lease(EXPIRED).tags())
    make_deployment(session, name, "theirs", {})
    assert not {label for label in due(session) if name in label}


def test_a_deployment_lives_by_its_endpoints_lease(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    let_fail({"path": "/onlineEndpoints/**", "method": "START", "kind": "no-capacity"})
    name = make_endpoint(lease(LIVE).extended(None).tags())
    make_deployment(session, name, "demo", lease(EXPIRED).tags())
    assert not {label for label in due(session) if name in label}


def test_an_expired_cluster_is_deleted_and_another_one_stays(session: Session) -> None:
    expired, live = (make_cluster(session, lease(hours, hourly=0.2).tags()) for hours in (EXPIRED, LIVE))
    foreign = make_cluster(session, {})
    assert {label for label in due(session) if "cl-" in label} == {f"cluster {expired}"}
    found = listed(session, expired)
    assert found is not None
    assert found.hourly == 0.2
    ended = end.fn(session, found)
    assert isinstance(ended, Reaped)
    assert ended.proof.startswith("404 at ")
    assert compute.find(session, expired) is None
    for name in (live, foreign):
        assert compute.find(session, name) is not None
        compute.remove(session, name, None)


def test_a_live_job_past_its_lease_is_cancelled(session: Session) -> None:
    from azure.ai.ml import command

    cluster = make_cluster(session, {})
    job = command(command="sleep 60", environment=_ENVIRONMENT, compute=cluster, tags=lease(EXPIRED).tags())
    name = clients.workspace(session).jobs.create_or_update(job).name
    found = listed(session, name)
    assert found is not None
    assert f"job {name}" in due(session)
    end.fn(session, found)
    until(lambda: clients.state(find_job(session, name).status) == "Canceled")
    assert listed(session, name) is None
    compute.remove(session, cluster, None)


def test_a_deletion_that_is_refused_is_loud(
    session: Session, make_endpoint: Callable[..., str], let_fail: LetFail
) -> None:
    name = make_endpoint(lease(EXPIRED).tags())
    found = listed(session, name)
    assert found is not None
    let_fail({"path": f"onlineEndpoints/{name}", "method": "DELETE", "kind": "status", "status": 403})
    with fails(Cause.PERMISSION):
        end.fn(session, found)
    assert endpoint.find(session, name) is not None
