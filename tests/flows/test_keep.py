"""An endpoint kept on purpose: left by its run, spared by the reap, and gone once its lease is over."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.artifacts.run import deletion_page
from flows.terminal.cli import app
from tasks import endpoint
from tasks.azure import clients
from tasks.azure.failure import Failure
from tasks.core.lease import FOREVER, Lease
from tasks.core.stage import StageEvent, observing
from tasks.core.stages import Stage
from tasks.delete import EndpointEnd
from tasks.sign_in import Workspace, sign_in
from tasks.use import Use
from tests.conftest import LetFail, LocalServer
from tests.flows.conftest import MakeConfig
from tests.support import ours
from tests.support.checkout import ROOT
from tests.support.prefect_server import PrefectServer
from tests.support.waiting import PATIENCE

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

    # Its lines work as they stand, and are what `finetune ps` shows as well.
    use = report.deletion.use
    assert use is not None
    assert use.openai is None  # the tiny model is no chat model in Hugging Face's format
    session_key = clients.workspace(session).online_endpoints.get_keys(report.endpoint).primary_key
    assert session_key not in report.model_dump_json()
    first, second = typed(use.key, use.curl, use.python)
    assert json.loads(first) == ast.literal_eval(second)
    assert json.loads(first)["output"]
    (listed,) = [each for each in shown("ps", "--json")["uses"] if each["endpoint"] == report.endpoint]
    assert Use.model_validate(listed) == use
    assert use.curl in deletion_page(report.deletion)

    # It can be talked to, by its own name or its model's.
    for name in (report.endpoint, f"{report.model}:{report.model_version}"):
        talked = CliRunner().invoke(app, ["chat", name], input="Hello\n/new\nHello\n\n")
        assert talked.exit_code == 0, talked.stderr
        answers = talked.stdout.splitlines()
        assert len(answers) == 2
        assert all(answers)
    missing = CliRunner().invoke(app, ["chat", report.endpoint, "--beside", "base"], input="Hello\n")
    assert missing.exit_code == 1
    assert "deploy.compare_with_base" in missing.stderr

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


def typed(*lines: str) -> list[str]:
    """What a shell prints for the lines, one after the other, with this environment's programs."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-ec", "\necho\n".join(lines)],
        env={**os.environ, "PATH": path},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.splitlines() if line]


def shown(*command: str) -> dict[str, Any]:
    """What a command prints as JSON."""
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.stderr
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


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
