"""Leases where others work too: their jobs, hand-edited tags, things that vanish or are renewed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.entities import AmlCompute, ManagedOnlineEndpoint
from azure.ai.ml.exceptions import JobException, ValidationException

from flows.reap import due_of, unclear_of
from tasks import compute, endpoint
from tasks.azure import clients, listing
from tasks.azure.clients import Session
from tasks.azure.failure import Failure
from tasks.core.lease import EXPIRES, FOREVER, HOURLY, Lease
from tasks.delete import delete_cluster, keep_endpoint
from tasks.job import attempts, pipeline
from tasks.job.status import find_ended
from tasks.leased import Leased, Leases, find_leased
from tasks.reap import Reaped, Spared, cancel_jobs, end, release
from tests.conftest import LetFail, LocalServer
from tests.support import other_jobs
from tests.support.waiting import until

SIZE = "Standard_DS3_v2"
ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"

MakeEndpoint = Callable[[dict[str, str]], str]
MakeCluster = Callable[[dict[str, str]], str]
Submit = Callable[[str, dict[str, str]], str]


def lease(hours: float, run: str | None = None) -> Lease:
    expires = datetime.now(UTC) + timedelta(hours=hours)
    return Lease(owner="ann", run=run or str(uuid4()), expires=expires, hourly=0.5)


@pytest.fixture
def make_endpoint(session: Session) -> Iterator[MakeEndpoint]:
    """Makes endpoints with these tags; those that a test leaves are deleted after it."""
    made: list[str] = []

    def make(tags: dict[str, str]) -> str:
        made.append(f"ep-{uuid4().hex[:12]}")
        wanted = ManagedOnlineEndpoint(name=made[-1], auth_mode="key", tags=tags)
        clients.workspace(session).online_endpoints.begin_create_or_update(wanted).wait()
        return made[-1]

    yield make
    for name in made:
        if endpoint.find(session, name) is not None:
            endpoint.remove(session, name, None)


@pytest.fixture
def make_cluster(session: Session) -> Iterator[MakeCluster]:
    """Makes clusters with these tags; those that a test leaves are deleted after it."""
    made: list[str] = []

    def make(tags: dict[str, str]) -> str:
        made.append(f"cl-{uuid4().hex[:8]}")
        wanted = AmlCompute(name=made[-1], size=SIZE, max_instances=2, tags=tags)
        clients.workspace(session).compute.begin_create_or_update(wanted).wait()
        return made[-1]

    yield make
    for name in made:
        if compute.find(session, name) is not None:
            compute.remove(session, name, None)


@pytest.fixture
def submit(session: Session) -> Iterator[Submit]:
    """Submits jobs that run until they are cancelled, which they are after the test."""
    made: list[str] = []

    def put(cluster: str, tags: dict[str, str]) -> str:
        job = command(command="sleep 600", environment=ENVIRONMENT, compute=cluster, tags=tags)
        made.append(clients.workspace(session).jobs.create_or_update(job).name)
        return made[-1]

    yield put
    for name in made:
        clients.workspace(session).jobs.begin_cancel(name)


@pytest.fixture
def others(
    session: Session, server: LocalServer, make_cluster: MakeCluster, submit: Submit
) -> Callable[..., Any]:
    """Seeds jobs of others, made up from one that has run."""
    like = submit(make_cluster({}), {})
    clients.workspace(session).jobs.begin_cancel(like)
    until(lambda: listing.submitted(session, like).state == "Canceled")
    return lambda *properties: other_jobs.seeded(server.state, like, properties)


def listed(session: Session, label: str) -> Leased | None:
    return next((item for item in find_leased.fn(session).leased if item.label == label), None)


def seen(session: Session, label: str) -> Leased:
    found = listed(session, label)
    assert found is not None
    return found


def due(leases: Leases) -> set[str]:
    return {item.label for item in due_of(leases.leased, datetime.now(UTC))}


def tags_of(session: Session, name: str) -> Lease:
    found = Lease.read(endpoint.find(session, name).tags)
    assert found is not None
    return found


@pytest.mark.slow
def test_jobs_that_the_sdk_cannot_parse_and_hundreds_of_newer_ones_hide_none_of_ours(
    session: Session, others: Callable[..., Any], make_cluster: MakeCluster, submit: Submit
) -> None:
    ours = lease(-1)
    job = submit(make_cluster({}), ours.tags())
    strange = [other_jobs.of_kind(kind, "elsewhere") for kind in other_jobs.KINDS]
    ended = [other_jobs.of_kind("AutoML", "elsewhere", "Completed") for _ in range(250)]
    tagged = [{**each, "tags": lease(1).tags()} for each in ended[:110]]
    with others(*strange, *ended, *tagged) as names:
        with pytest.raises((JobException, ValidationException)):
            list(clients.workspace(session).jobs.list())
        assert {*names, job} <= {each.name for each in listing.jobs(session)}
        assert f"job {job}" in due(find_leased.fn(session))
        assert find_ended.fn(session, [job, names[-1], "never-there"]) == {names[-1], "never-there"}
        assert cancel_jobs(session, ours.run) == (f"job {job}",)
    until(lambda: listing.submitted(session, job).state == "Canceled")


@pytest.mark.parametrize("kind", other_jobs.KINDS)
def test_a_cluster_stays_while_anybodys_job_of_any_kind_needs_it(
    session: Session, others: Callable[..., Any], make_cluster: MakeCluster, kind: str
) -> None:
    ours = lease(-1)
    name = make_cluster(ours.tags())
    found = seen(session, f"cluster {name}")
    ended = [other_jobs.of_kind("AutoML", name, status) for status in ("Completed", "CancelRequested")]
    with others(other_jobs.of_kind(kind, name), *ended) as (job, *_):
        spared = end.fn(session, found)
        assert isinstance(spared, Spared)
        assert spared.why == f"it is used by {job}"
        assert release(session, ours.run, training=True).things == ()
        assert not delete_cluster.fn(session, name, ours)
        assert compute.find(session, name) is not None
    assert isinstance(end.fn(session, found), Reaped)


@pytest.mark.parametrize(
    ("expires", "shown"),
    [
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01", "2026-01-01T00:00:00+00:00"),
        ("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_without_a_time_zone_is_utc_and_stops_nothing(
    session: Session, make_endpoint: MakeEndpoint, expires: str, shown: str
) -> None:
    edited = make_endpoint(lease(-1).tags() | {EXPIRES: expires})
    other = make_endpoint(lease(-1).tags())
    leases = find_leased.fn(session)
    assert {f"endpoint {edited}", f"endpoint {other}"} <= due(leases)
    assert seen(session, f"endpoint {edited}").expires == datetime.fromisoformat(shown)


@pytest.mark.parametrize("expires", ["tomorrow", "2026-13-01", "", "0001-01-01T00:00:00+23:00"])
def test_a_lease_that_cannot_be_read_is_listed_and_left_to_a_person(
    session: Session, make_endpoint: MakeEndpoint, expires: str
) -> None:
    edited = make_endpoint(lease(-1).tags() | {EXPIRES: expires})
    other = make_endpoint(lease(-1).tags())
    leases = find_leased.fn(session)
    assert f"endpoint {other}" in due(leases)
    found = next(item for item in leases.leased if item.name == edited)
    assert found.expires is None
    assert EXPIRES in found.problem
    assert found in unclear_of(leases.leased, datetime.now(UTC))
    assert isinstance(end.fn(session, found), Spared)


@pytest.mark.parametrize("price", ["3,67", "nan", "-1"])
def test_a_price_that_cannot_be_read_is_said_to_be_unknown(
    session: Session, make_cluster: MakeCluster, price: str
) -> None:
    found = seen(session, f"cluster {make_cluster(lease(-1).tags() | {HOURLY: price})}")
    assert (found.hourly, found.price) == (0.0, "at a price that is not known")
    assert isinstance(end.fn(session, found), Reaped)


def test_an_endpoint_that_vanishes_between_two_lists_ends_no_list(
    session: Session, make_endpoint: MakeEndpoint, let_fail: LetFail
) -> None:
    vanishing, other = make_endpoint(lease(-1).tags()), make_endpoint(lease(-1).tags())
    path = f"/**/onlineEndpoints/{vanishing}/deployments"
    let_fail({"kind": "status", "method": "GET", "path": path, "status": 404, "count": None})
    leases = find_leased.fn(session)
    assert f"endpoint {other}" in due(leases)
    assert leases.unseen == {}


@pytest.mark.parametrize("kind", ["jobs", "computes", "onlineEndpoints"])
def test_a_kind_that_cannot_be_listed_hides_none_of_the_others(
    session: Session, make_endpoint: MakeEndpoint, make_cluster: MakeCluster, let_fail: LetFail, kind: str
) -> None:
    expired = {
        "computes": f"cluster {make_cluster(lease(-1).tags())}",
        "onlineEndpoints": f"endpoint {make_endpoint(lease(-1).tags())}",
    }
    let_fail(
        {"kind": "status", "method": "GET", "path": f"/**/workspaces/*/{kind}", "status": 403, "count": None}
    )
    leases = find_leased.fn(session)
    assert {label for where, label in expired.items() if where != kind} <= due(leases)
    (why,) = leases.unseen.values()
    assert "may not do this" in why


def test_one_endpoint_that_cannot_be_looked_at_hides_none_of_the_others(
    session: Session, make_endpoint: MakeEndpoint, let_fail: LetFail
) -> None:
    refused, other = make_endpoint(lease(-1).tags()), make_endpoint(lease(-1).tags())
    path = f"/**/onlineEndpoints/{refused}/deployments"
    let_fail({"kind": "status", "method": "GET", "path": path, "status": 403, "count": None})
    leases = find_leased.fn(session)
    assert f"endpoint {other}" in due(leases)
    assert set(leases.unseen) == {f"endpoint {refused}"}


def test_what_was_kept_since_it_was_listed_is_spared(session: Session, make_endpoint: MakeEndpoint) -> None:
    ours = lease(-1)
    name = make_endpoint(ours.tags())
    found = seen(session, f"endpoint {name}")
    keep_endpoint.fn(session, name, lease(1, "another").extended(None))
    spared = end.fn(session, found)
    assert isinstance(spared, Spared)
    assert "flow run another holds it" in spared.why
    assert release(session, ours.run, training=False).things == ()
    assert endpoint.find(session, name) is not None


def test_what_has_lost_its_tags_since_it_was_listed_is_not_taken_for_gone(
    session: Session, make_cluster: MakeCluster, make_endpoint: MakeEndpoint
) -> None:
    cluster, name = make_cluster(lease(-1).tags()), make_endpoint(lease(-1).tags())
    found = [seen(session, f"cluster {cluster}"), seen(session, f"endpoint {name}")]
    bare = compute.find(session, cluster)
    bare.tags = {}
    clients.workspace(session).compute.begin_update(bare).wait()
    above = endpoint.find(session, name)
    above.tags = {}
    clients.workspace(session).online_endpoints.begin_create_or_update(above).wait()
    for item in found:
        spared = end.fn(session, item)
        assert isinstance(spared, Spared)
        assert spared.why == "it has lost its tags"


def test_what_is_gone_by_its_turn_counts_as_reaped(session: Session, make_cluster: MakeCluster) -> None:
    name = make_cluster(lease(-1).tags())
    found = seen(session, f"cluster {name}")
    compute.remove(session, name, None)
    assert isinstance(end.fn(session, found), Reaped)


def test_a_release_that_fails_at_one_thing_ends_the_others_and_says_so(
    session: Session, make_endpoint: MakeEndpoint, let_fail: LetFail
) -> None:
    ours = lease(1)
    held, free = make_endpoint(ours.tags()), make_endpoint(ours.tags())
    let_fail({"kind": "status", "method": "DELETE", "path": f"/**/onlineEndpoints/{held}", "status": 403})
    with pytest.raises(Failure, match=rf"could not be ended and still cost money: endpoint {held}\."):
        release(session, ours.run, training=True)
    assert endpoint.find(session, free) is None
    assert endpoint.find(session, held) is not None


def test_the_longest_promise_to_keep_stands(session: Session, make_endpoint: MakeEndpoint) -> None:
    name = make_endpoint(lease(1, "first").tags())
    keep_endpoint.fn(session, name, lease(1, "first").extended(4))
    promised = tags_of(session, name)
    shorter = keep_endpoint.fn(session, name, lease(1, "second").extended(0.5))
    assert shorter.until == promised.expires
    assert tags_of(session, name) == promised
    longer = keep_endpoint.fn(session, name, lease(1, "second").extended(None))
    assert longer.until is None
    assert (tags_of(session, name).expires, tags_of(session, name).run) == (FOREVER, "second")


def test_a_promise_that_another_write_has_undone_is_written_again(
    session: Session, make_endpoint: MakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make_endpoint(lease(1, "first").tags())
    stale, find = endpoint.find(session, name), endpoint.find
    writes = iter([stale])

    def and_then_older_tags_come_back(session: Session, name: str) -> Any:
        found = find(session, name)
        held = Lease.read(found.tags) if found is not None else None
        if held is not None and held.is_kept() and (older := next(writes, None)) is not None:
            clients.workspace(session).online_endpoints.begin_create_or_update(older).wait()
            return find(session, name)
        return found

    monkeypatch.setattr(endpoint, "find", and_then_older_tags_come_back)
    keep_endpoint.fn(session, name, lease(1, "second").extended(None))
    assert tags_of(session, name).is_kept()


def test_who_uses_a_cluster_again_holds_it_and_the_last_one_deletes_it(
    session: Session, make_cluster: MakeCluster
) -> None:
    first, second = lease(1, "first"), lease(5, "second")
    name = make_cluster(first.tags())
    held = compute.hold(session, compute.find(session, name), second)
    assert Lease.read(held.tags) == second.model_copy(
        update={"expires": second.expires.replace(microsecond=0)}
    )
    shorter = lease(2, "third")
    held = compute.hold(session, held, shorter)
    assert Lease.read(held.tags).expires == second.expires.replace(microsecond=0)  # type: ignore[union-attr]
    assert not delete_cluster.fn(session, name, first)
    assert not delete_cluster.fn(session, name, second)
    assert delete_cluster.fn(session, name, shorter)


def test_a_cluster_is_handed_to_the_run_whose_job_still_needs_it(
    session: Session, make_cluster: MakeCluster, submit: Submit
) -> None:
    first, second = lease(1, "first"), lease(2, "second")
    name = make_cluster(first.tags())
    job = submit(name, first.tags())
    compute.hold(session, compute.find(session, name), second)
    assert not delete_cluster.fn(session, name, second)
    clients.workspace(session).jobs.begin_cancel(job)
    assert delete_cluster.fn(session, name, first)


def test_a_cluster_that_is_kept_or_not_ours_is_used_as_it_is(
    session: Session, make_cluster: MakeCluster
) -> None:
    for tags in ({"owner": "bob"}, lease(1, "first").extended(None).tags()):
        name = make_cluster(tags)
        compute.hold(session, compute.find(session, name), lease(5, "second"))
        assert compute.find(session, name).tags == tags


def test_a_cluster_whose_lease_cannot_be_renewed_is_used_all_the_same(
    session: Session, make_cluster: MakeCluster, let_fail: LetFail, caplog: pytest.LogCaptureFixture
) -> None:
    name = make_cluster(lease(1, "first").tags())
    let_fail({"kind": "status", "method": "PUT", "path": f"/**/computes/{name}", "status": 403})
    assert compute.hold(session, compute.find(session, name), lease(5, "second")) is not None
    assert f"The lease of the cluster {name} cannot be renewed" in caplog.text


@pytest.mark.parametrize(("left", "holder"), [(0.5, "first"), (-1.0, "second")], ids=["held", "over"])
def test_who_waits_for_a_live_job_renews_its_lease(
    session: Session, make_cluster: MakeCluster, submit: Submit, left: float, holder: str
) -> None:
    job = submit(make_cluster({}), {**lease(left, "first").tags(), "mine": "stays"})
    second = lease(5, "second")
    pipeline._reuse(session, attempts.find(session, job), second)
    found = listing.job(session, job)
    assert found is not None
    held = Lease.read(found.tags)
    assert held is not None
    assert (held.run, held.expires) == (holder, second.expires.replace(microsecond=0))
    assert found.tags["mine"] == "stays"
