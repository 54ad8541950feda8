"""An endpoint kept on purpose: left by its run, spared by the reap, and gone once its lease is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks import endpoint
from tasks.azure import clients
from tasks.azure.failure import Failure
from tasks.core.lease import FOREVER, Lease
from tasks.core.stage import StageEvent, observing
from tasks.core.stages import Stage
from tasks.delete import EndpointEnd
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.prefect_server import PrefectServer

pytestmark = pytest.mark.slow


def test_a_kept_endpoint_lives_as_long_as_was_said(
    prefect_server: PrefectServer, server: LocalServer, config: MakeConfig
) -> None:
    from flows.finetune import finetune
    from flows.reap import reap

    report = finetune(config("data.train.take=37", "deploy.keep_endpoint=4h"))
    assert report.endpoint is not None
    assert report.deletion is not None
    assert report.deletion.state is EndpointEnd.KEPT
    session = sign_in.fn(Workspace())
    lease = lease_of(session, report.endpoint)
    assert lease.kept
    assert lease.run == report.run
    assert abs(lease.expires - datetime.now(UTC) - timedelta(hours=4)) < timedelta(minutes=2)

    # A run that keeps nothing itself uses it, and leaves it and nothing else behind.
    passing = finetune(config("data.train.take=37", "deploy.compare_with_base=true"))
    assert passing.base_answer is not None
    assert passing.deletion is not None
    assert (passing.deletion.state, passing.deletion.owner) == (EndpointEnd.RELEASED, report.run)
    assert lease_of(session, report.endpoint) == lease
    behind = clients.workspace(session).online_deployments.list(report.endpoint)
    assert [each.name for each in behind] == ["demo"]

    # A further run of the same inputs finds it, and says from which run; for ever is said as `forever`.
    again = finetune(config("data.train.take=37", "deploy.keep_endpoint=forever"))
    assert again.endpoint == report.endpoint
    assert again.training_usd == 0
    assert {(thing.kind, thing.run) for thing in again.reused} == {
        (kind, report.run) for kind in ("job", "model", "endpoint", "deployment")
    }
    assert lease_of(session, report.endpoint).expires == FOREVER

    spared = reap()
    (kept,) = [item for item in spared.leased if item.kind == "endpoint" and item.name == report.endpoint]
    assert kept not in spared.due
    assert kept.hourly > 0

    expire(session, report.endpoint)
    planned = reap(dry_run=True)
    assert [item.name for item in planned.due] == [report.endpoint]
    assert not planned.reaped
    assert endpoint.find(session, report.endpoint) is not None

    done = reap()
    assert [one.item.name for one in done.reaped] == [report.endpoint]
    assert done.reaped[0].proof.startswith("404 at ")
    assert done.stopped_hourly == kept.hourly
    assert 0 < done.overdue_usd < kept.hourly
    assert endpoint.find(session, report.endpoint) is None
    assert not [row for row in server.admin("ledger")["rows"] if row["running"]]


def lease_of(session: Any, name: str) -> Lease:
    lease = Lease.read(endpoint.find(session, name).tags)
    assert lease is not None
    return lease


def expire(session: Any, name: str) -> None:
    """Let the leases of the endpoint and its deployments end half an hour ago."""
    ended = lease_of(session, name).model_copy(update={"expires": datetime.now(UTC) - timedelta(minutes=30)})
    for each in clients.workspace(session).online_deployments.list(name):
        each.tags = {**each.tags, **ended.priced(Lease.read(each.tags).hourly).tags()}  # type: ignore[union-attr]
        clients.workspace(session).online_deployments.begin_create_or_update(each).wait()
    endpoint.change(session, name, lambda now: endpoint.Change.of(now, {**now.tags, **ended.tags()}))


def test_an_endpoint_that_cannot_be_kept_is_deleted(
    prefect_server: PrefectServer, server: LocalServer, config: MakeConfig, let_fail: LetFail
) -> None:
    from flows.finetune import finetune

    def refuse(progress: StageEvent) -> None:
        if progress.stage is Stage.KEEP:
            path = "/**/onlineEndpoints/*"
            let_fail({"kind": "status", "method": "PUT", "path": path, "status": 403, "count": None})

    with observing(refuse), pytest.raises(Failure):
        finetune(config("data.train.take=39", "deploy.keep_endpoint=4h"))
    assert ours.endpoints(clients.workspace(sign_in.fn(Workspace()))) == []
    assert not [row for row in server.admin("ledger")["rows"] if row["running"]]
