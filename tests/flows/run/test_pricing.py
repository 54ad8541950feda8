"""The price of a run's jobs: asked for over an outage and a refused token, as any stage asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import command
from azure.ai.ml.dsl import pipeline
from azure.ai.ml.entities import AmlCompute, IdentityConfiguration

from flows.run.config import Finetune
from flows.run.context import Run
from flows.run.pricing import priced
from tasks import compute
from tasks.azure import clients
from tasks.azure.clients import Session
from tasks.compute import Cluster
from tasks.core import outage
from tasks.core.lease import Lease
from tasks.core.names import job_name
from tasks.job.meter import Meter
from tasks.job.parameters import Effective
from tasks.job.pipeline import Component, Plan
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.support.any_model import ANY_MODEL
from tests.support.flow_clock import FlowClock

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
AWAY = {"kind": "status", "status": 503, "count": 9, "headers": {"Retry-After": "0.01"}}


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def run(session: Session, server: LocalServer) -> Iterator[Run]:
    """A run whose job has completed on a cluster of its own."""
    made = Run(Finetune(), id=str(uuid4()), trigger="ad hoc")
    made.session = session
    made.base = ANY_MODEL
    made.plan = plan(uuid4().hex[:12])
    name = f"priced-{uuid4().hex[:8]}"
    cluster = AmlCompute(
        name=name,
        size="Standard_DS3_v2",
        max_instances=1,
        idle_time_before_scale_down=120,
        identity=IdentityConfiguration(type="system_assigned"),  # the session's storage may take no keys
    )
    ml_client = clients.workspace(session)
    ml_client.compute.begin_create_or_update(cluster).wait()
    step = command(name="learn", command="true", environment=ENVIRONMENT, compute=name)

    @pipeline(name="priced")  # type: ignore[untyped-decorator]
    def graph() -> None:
        step()

    job = graph()
    job.name = job_name(ANY_MODEL.name, made.plan.fingerprint, 1, None)
    job.settings.force_rerun = True  # a step that was reused costs nothing
    job.tags = Lease.of_run(made.id, hours=1).tags()
    with server.as_owner():  # its step is no component that is there
        ml_client.jobs.create_or_update(job, experiment_name="priced")
    ml_client.jobs.stream(job.name)
    made.meter = Meter(
        Cluster(name=name, size="Standard_DS3_v2", gpus=0, nodes=1, price=3600.0, created=True)
    )
    yield made
    compute.remove(session, name, None)


def plan(fingerprint: str) -> Plan:
    return Plan(
        fingerprint=fingerprint,
        component=Component(id="c", name="c", version="1", inputs={}),
        effective=Effective(values={}, origin={}, overridden={}, dropped={}),
        cluster="",
        inputs={},
        display_name="",
        experiment="priced",
        dataset="",
    )


@pytest.mark.parametrize("trouble", [AWAY, {"kind": "expired-token"}], ids=["away", "a refused token"])
def test_what_the_service_does_not_say_at_once_is_asked_for_again(
    run: Run, let_fail: LetFail, monkeypatch: pytest.MonkeyPatch, trouble: dict[str, Any]
) -> None:
    clock = FlowClock()
    monkeypatch.setattr(outage, "sleep", clock.sleep)
    monkeypatch.setattr(outage, "monotonic", clock)
    with outage.budget(60), priced(run):
        let_fail({**trouble, "method": "GET", "path": "/**/jobs/*"})
    spent = Run.spent.of(run)
    assert spent is not None
    assert spent.training.dollars > 120  # a dollar a second, of which 120 are idle
    assert [(job.run, job.counted) for job in spent.jobs] == [(run.id, spent.training.dollars)]
