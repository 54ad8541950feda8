"""The endpoint, its deployments and the question, where the service refuses, crashes or says nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from tasks import endpoint as endpoints
from tasks import spending
from tasks.azure import clients, operation
from tasks.azure.clients import Session
from tasks.azure.failure import Cause
from tasks.azure.operation import Billed
from tasks.base_model import Base, find_model
from tasks.core.lease import PREFIX, Lease
from tasks.data import Data, PreparedData, prepare_data
from tasks.data.section import Split
from tasks.delete import EndpointEnd, delete_endpoint, keep_endpoint
from tasks.deploy import Deploy, Deployment, Probe, Wanted, check_deployment, deploy_model
from tasks.endpoint import Endpoint, find, open_endpoint, route
from tasks.invoke import Conversation, Invoke, ask
from tasks.job.wait import TrainedJob
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LetFail, LocalServer
from tests.support.failures import fails
from tests.support.flow_clock import FlowClock
from tests.support.tiny.code.tiny_chat import NOTHING_LEARNT

T4 = "Standard_NC4as_T4_v3"
PROBE = Probe(initial_delay=1, period=1, timeout=60, failure_threshold=600)
DEPLOY = Deploy(instance_type=T4, liveness=PROBE, readiness=PROBE)


@pytest.fixture
def name(session: Session) -> Iterator[str]:
    """A free endpoint name; what the test leaves there is deleted."""
    chosen = f"e-{uuid4().hex[:10]}"
    yield chosen
    if find(session, chosen) is not None:
        clients.workspace(session).online_endpoints.begin_delete(chosen).result()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    few = {"train": Split(name="train_sft", take="4"), "test": Split(name="test_sft", take="4")}
    return prepare_data.fn(Data(dataset="sample", directory=tmp_path_factory.mktemp("data"), **few))


@pytest.fixture(scope="module")
def served(server: LocalServer, tiny: str) -> Iterator[Deployment]:
    """A deployment for the whole module."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in server.environment.items():
            patch.setenv(variable, value)
        session, lease = sign_in.fn(Workspace()), Lease.of_run("served", hours=1)
        name = f"e-{uuid4().hex[:10]}"
        yield deploy(session, lease, open_endpoint.fn(session, name, job("served"), lease), tiny)
        delete_endpoint.fn(session, name, lease)


def job(name: str) -> TrainedJob:
    return TrainedJob(
        name=name, output="", studio_url="", queued=0, provisioning=0, running=0, cost=0, steps=()
    )


def deploy(session: Session, lease: Lease, endpoint: Endpoint, tiny: str) -> Deployment:
    base = find_model.fn(session, Base(name=tiny))
    size = check_deployment.fn(session, DEPLOY, base)
    made = deploy_model.fn(session, DEPLOY, endpoint, Wanted(name="demo", model=base.id, size=size), lease)
    route.fn(session, endpoint, "demo", lease)
    return made


@pytest.mark.parametrize(
    ("model", "size"), [("Phi-3-mini-4k-instruct", T4), ("Phi-4", T4.upper())], ids=["tags", "metadata"]
)
def test_a_size_off_the_inference_list_is_refused(session: Session, model: str, size: str) -> None:
    version = "15" if model.startswith("Phi-3") else None  # a label does not find what is archived
    base = find_model.fn(session, Base(name=model, version=version, allow_retired=True))
    with fails(Cause.COMPUTE, model, T4, "deploy.instance_type"):
        check_deployment.fn(session, Deploy(instance_type=size), base)


def test_a_size_on_the_list_is_taken_in_any_case(session: Session) -> None:
    base = find_model.fn(session, Base(name="Phi-4"))
    size = check_deployment.fn(session, Deploy(instance_type="standard_nc24ads_a100_V4"), base)
    assert size.name == "Standard_NC24ads_A100_v4"


def test_a_size_that_serves_nothing_is_refused(session: Session, tiny: str) -> None:
    base = find_model.fn(session, Base(name=tiny)).model_copy(update={"inference_sizes": None})
    with fails(Cause.COMPUTE, "deploy.instance_type"):
        check_deployment.fn(session, Deploy(instance_type="Standard_NC6"), base)


def test_a_name_that_is_taken_in_the_region_is_reported_with_the_fix(
    session: Session, name: str, lease: Lease, server: LocalServer, flow_clock: FlowClock
) -> None:
    server.admin("endpoint-names", {"name": name})
    with fails(Cause.NAME_TAKEN, "deploy.endpoint"):
        open_endpoint.fn(session, name, job("j"), lease, fixed=True)
    assert flow_clock.now == 2 * 60


def test_an_endpoint_that_is_not_ours_is_left_alone(session: Session, name: str, lease: Lease) -> None:
    from azure.ai.ml.entities import ManagedOnlineEndpoint

    endpoints = clients.workspace(session).online_endpoints
    endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode="key")).result()
    with fails(Cause.NAME_TAKEN, name, "deploy.endpoint"):
        open_endpoint.fn(session, name, job("j"), lease)
    assert delete_endpoint.fn(session, name, lease).state is EndpointEnd.RELEASED
    assert find(session, name) is not None


def test_an_endpoint_that_serves_another_job_is_not_taken_over(
    session: Session, name: str, lease: Lease
) -> None:
    open_endpoint.fn(session, name, job("first"), lease)
    other = lease.model_copy(update={"run": "another"})
    with fails(Cause.IN_USE, name, "job first"):
        open_endpoint.fn(session, name, job("second"), other)


def test_one_left_by_an_earlier_run_of_the_job_is_taken_over(
    session: Session, name: str, lease: Lease
) -> None:
    assert open_endpoint.fn(session, name, job("j"), lease).reused is None
    later = lease.model_copy(update={"run": "later"})
    assert open_endpoint.fn(session, name, job("j"), later).reused
    assert find(session, name).tags[f"{PREFIX}run"] == "later"
    assert delete_endpoint.fn(session, name, lease).state is EndpointEnd.RELEASED
    assert delete_endpoint.fn(session, name, later).state is EndpointEnd.DELETED


@pytest.mark.slow
def test_the_deployment_answers_and_is_gone_with_its_endpoint(
    session: Session, name: str, lease: Lease, tiny: str, data: PreparedData, server: LocalServer
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    made = deploy(session, lease, endpoint, tiny)
    assert (made.reused, made.instance_type, made.instance_count) == (None, T4, 1)
    assert deploy(session, lease.model_copy(update={"run": "later"}), endpoint, tiny).reused
    found = clients.workspace(session).online_deployments.get("demo", name)
    assert float(found.tags[f"{PREFIX}hourly-usd"]) == pytest.approx(made.hourly)
    assert find(session, name).traffic == {"demo": 100}
    assert question(session, data, made).answer == NOTHING_LEARNT
    deletion = delete_endpoint.fn(session, name, lease)
    assert deletion.state is EndpointEnd.DELETED
    assert not any(row["running"] for row in server.admin("ledger")["rows"] if row["owner"] == name)


@pytest.mark.slow
def test_a_deployment_on_other_machines_is_made_again_unless_it_is_kept(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    single = deploy(session, lease, endpoint, tiny)
    later = lease.model_copy(update={"run": "later"})
    base = find_model.fn(session, Base(name=tiny))
    wanted = Wanted(name="demo", model=base.id, size=check_deployment.fn(session, DEPLOY, base))
    two = DEPLOY.model_copy(update={"instance_count": 2})
    double = deploy_model.fn(session, two, endpoint, wanted, later)
    assert (double.instance_count, double.hourly, double.reused) == (2, 2 * single.hourly, None)
    keep_endpoint.fn(session, name, later.extended(4))
    used = deploy_model.fn(session, DEPLOY, endpoint, wanted, lease)
    assert (used.instance_count, used.hourly) == (2, double.hourly)  # what stands, at what it costs
    assert used.reused is not None


@pytest.mark.slow
def test_every_deployment_of_a_run_is_priced_also_those_before_the_last(
    session: Session, name: str, lease: Lease, tiny: str, server: LocalServer
) -> None:
    """One that is replaced, one that somebody else deletes, and the one that is up."""
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    deploy(session, lease, endpoint, tiny)
    base = find_model.fn(session, Base(name=tiny))
    wanted = Wanted(name="demo", model=base.id, size=check_deployment.fn(session, DEPLOY, base))
    deploy_model.fn(session, DEPLOY.model_copy(update={"instance_count": 2}), endpoint, wanted, lease)
    endpoints.remove(session, name, None)
    deploy(session, lease, open_endpoint.fn(session, name, job("j"), lease), tiny)

    for _ in range(2):  # asked again, as where a deletion is tried twice
        served = spending.deployments(session, name, lease.run)
    rows = sorted(
        (row for row in server.admin("ledger")["rows"] if row["owner"] == name),
        key=lambda row: row["started"],
    )
    assert [each.hourly for each in served] == [row["hourlyPrice"] for row in rows]
    assert [each.ended is None for each in served] == [row["running"] for row in rows] == [False, False, True]


@pytest.mark.slow
def test_traffic_renews_the_lease_of_the_run_that_holds_the_endpoint(
    session: Session, name: str, lease: Lease, tiny: str
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    made = deploy(session, lease, endpoint, tiny)
    ends = lease.expires.replace(microsecond=0)
    assert held(session, name).expires == ends
    route.fn(session, endpoint, made.name, lease.model_copy(update={"expires": ends + timedelta(hours=5)}))
    assert held(session, name).expires == ends + timedelta(hours=5)
    other = lease.model_copy(update={"run": "other", "expires": ends + timedelta(hours=9)})
    route.fn(session, endpoint, made.name, other)  # it uses the endpoint, and does not hold it
    assert held(session, name).run == lease.run
    keep_endpoint.fn(session, name, lease.extended(2))
    kept = held(session, name)
    route.fn(session, endpoint, made.name, other.model_copy(update={"run": lease.run}))
    assert held(session, name) == kept


def held(session: Session, name: str) -> Lease:
    found = Lease.read(find(session, name).tags)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("keep_endpoint", "9999999999d"),
        ("keep_endpoint", "366d"),
        ("keep_endpoint", "0h"),
        ("keep_endpoint", "soon"),
        ("lease_hours", 1e9),
        ("lease_hours", 0),
        ("lease_hours", float("nan")),
    ],
)
def test_how_long_things_stay_has_bounds(field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=field):
        Deploy.model_validate({field: value})


@pytest.mark.parametrize("kept", ["30m", "1.5h", "365d", "forever"])
def test_the_form_takes_what_the_configuration_takes(kept: str) -> None:
    lasting = Lease.of_run("r", 1).extended(Deploy(keep_endpoint=kept).kept_hours())
    assert not lasting.expired()
    assert re.fullmatch(Deploy.model_json_schema()["properties"]["keep_endpoint"]["pattern"], kept)


def test_a_crashed_container_is_reported_with_its_log(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "crash", "path": f"/onlineEndpoints/{name}/deployments/demo", "count": None})
    with fails(Cause.DEPLOYMENT, "log below") as caught:
        deploy(session, lease, endpoint, tiny)
    assert "Log of demo:" in caught.value.details


def test_serving_quota_reads_as_what_to_do(
    session: Session, name: str, lease: Lease, tiny: str, let_fail: LetFail
) -> None:
    endpoint = open_endpoint.fn(session, name, job("j"), lease)
    let_fail({"kind": "quota", "method": "PUT", "path": "deployments/demo"})
    with fails(Cause.QUOTA, "quota"):
        deploy(session, lease, endpoint, tiny)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({}, "an empty answer"),
        ({"output": "  "}, "an empty answer"),
        ([{"0": ""}], "an empty answer"),
        ([], "an empty answer"),
        ({"output": None, "error": {"code": 500}}, "the engine's error {'code': 500}"),
        ("plain words", "Expecting value"),
    ],
)
def test_an_answer_without_text_is_a_failure(
    session: Session, served: Deployment, data: PreparedData, let_fail: LetFail, body: Any, why: str
) -> None:
    let_fail({"kind": "status", "method": "POST", "path": "/**/score", "status": 200, "body": body})
    with fails(Cause.ANSWER, "demo", why):
        question(session, data, served)


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (401, "key"),
        (404, "demo"),
        (408, "deploy.request_timeout_ms"),
        (424, "failed with 500"),
        (429, "deploy.instance_count"),
    ],
)
def test_a_refusal_says_what_to_do(
    session: Session, served: Deployment, data: PreparedData, let_fail: LetFail, status: int, line: str
) -> None:
    headers = {"ms-azureml-model-error-statuscode": "500"} if status == 424 else {}
    rule = {"kind": "status", "method": "POST", "path": "/**/score", "status": status, "headers": headers}
    let_fail(rule | {"count": None})
    causes = {408: Cause.TIMED_OUT, 429: Cause.UNREACHABLE}  # the latter is outlasted as any busy service is
    with fails(causes.get(status, Cause.ANSWER), line) as caught:
        question(session, data, served)
    assert caught.value.retryable == (status in (408, 429))


def test_a_key_that_was_renewed_meanwhile_is_asked_for_again(
    session: Session, served: Deployment, data: PreparedData, let_fail: LetFail
) -> None:
    let_fail({"kind": "status", "method": "POST", "path": "/**/score", "status": 401})
    assert question(session, data, served).answer


def question(session: Session, data: PreparedData, deployment: Deployment) -> Conversation:
    return ask.fn(session, Invoke(), data, deployment, None)


def test_an_endpoint_made_again_while_it_is_deleted_is_left_to_its_run(
    session: Session, name: str, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_endpoint.fn(session, name, job("shared"), lease)
    other, delete = Lease.of_run("other", hours=1), operation.delete

    def and_another_run_is_there_first(ask: Callable[[], Any], billed: Billed) -> None:
        delete(ask, billed)
        open_endpoint.fn(session, name, job("shared"), other)

    monkeypatch.setattr(operation, "delete", and_another_run_is_there_first)
    ended = delete_endpoint.fn(session, name, lease)
    assert (ended.state, ended.owner) == (EndpointEnd.RELEASED, "other")
    monkeypatch.setattr(operation, "delete", delete)
    assert delete_endpoint.fn(session, name, other).state is EndpointEnd.DELETED
