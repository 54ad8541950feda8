"""The fault switch: rules from a file or the admin route, and each kind as a client meets it."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests

from azureml_local.settings import Settings
from azureml_local.state import faults
from azureml_local.state.faults import BadRule, Faults, Status
from tests.conftest import LetFail, LocalServer
from tests.support.waiting import PATIENCE, until

_WORKSPACE = Settings(state=Path(), port=0).workspace_arm_id
TERMINAL = {"Completed", "Failed", "Canceled"}


@pytest.fixture
def get(server: LocalServer) -> Callable[[str], requests.Response]:
    """A request as a plain client makes it: on a connection of its own, without retries."""

    def ask(path: str, method: str = "GET") -> requests.Response:
        headers = {"Connection": "close"}
        bundle = server.environment["REQUESTS_CA_BUNDLE"]
        return requests.request(method, server.url + path, headers=headers, verify=bundle, timeout=PATIENCE)

    return ask


@pytest.fixture
def cluster(ml_client: Any) -> str:
    from azure.ai.ml.entities import AmlCompute

    name = f"faulty-{uuid4().hex[:8]}"
    ml_client.compute.begin_create_or_update(AmlCompute(name=name, size="Standard_DS3_v2")).result()
    return name


def submit(client: Any, cluster: str, command: str, **kwargs: Any) -> Any:
    from azure.ai.ml import command as build

    environment = "azureml://registries/azureml/environments/any/versions/1"
    job = build(command=command, environment=environment, compute=cluster, experiment_name="faults", **kwargs)
    return client.jobs.create_or_update(job)


def ended(client: Any, name: str) -> Any:
    return until(lambda: job if (job := client.jobs.get(name)).status in TERMINAL else None)


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("jobs/*", "/subscriptions/S/workspaces/W/jobs/J", True),
        ("jobs/*", "/subscriptions/S/workspaces/W/jobs/J/cancel", False),
        ("jobs/**", "/subscriptions/S/workspaces/W/jobs/J/cancel", True),
        ("obs/*", "/workspaces/W/jobs/J", False),
        ("ONLINEENDPOINTS/e", "/workspaces/W/onlineEndpoints/E", True),
        ("/discovery", "/discovery", True),
        ("/discovery", "/registries/R/discovery", False),
        ("a.b", "/axb", False),
    ],
)
def test_a_pattern_is_the_end_of_a_path(pattern: str, path: str, matches: bool) -> None:
    assert faults.Rule(pattern, Status()).matches("GET", path) is matches


def test_a_rule_acts_from_the_nth_call_for_count_calls() -> None:
    rules = Faults(faults.parse([{"path": "x", "kind": "status", "status": 418, "nth": 2, "count": 2}]))
    assert [rules.at("GET", "/x") is not None for _ in range(5)] == [False, True, True, False, False]
    assert rules.report()[0]["calls"] == 5
    assert rules.report()[0]["hit"] == ["GET /x", "GET /x"]


def test_the_first_rule_that_is_due_acts_and_every_one_counts() -> None:
    rules = Faults(
        faults.parse(
            [
                {"path": "x", "kind": "status", "status": 500, "count": None, "method": "put"},
                {"path": "x", "kind": "status", "status": 501, "nth": 2},
                {"path": "x", "kind": "status", "status": 502, "count": None},
            ]
        )
    )
    acted = [rules.at("GET", "/x", Status) for _ in range(3)]
    assert [fault.status for fault in acted if fault] == [502, 501, 502]
    assert [rule["calls"] for rule in rules.report()] == [0, 3, 3]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("status", "rule 1 must be an object"),
        ({"path": "x", "kind": "flood"}, "the kind 'flood'; it must be one of status"),
        ({"kind": "stuck"}, "rule 1 (stuck) needs 'path'"),
        ({"path": "x", "kind": "delay"}, "needs 'seconds'"),
        ({"path": "x", "kind": "delay", "seconds": -1}, "'seconds' cannot be -1"),
        ({"path": "x", "kind": "status", "statsu": 500}, "knows no 'statsu', only status"),
        ({"path": "x", "kind": "status", "status": 42}, "'status' must be from 200 to 599"),
        ({"path": "x", "kind": "status", "headers": {"Retry-After": 1}}, "'headers' cannot be"),
        ({"path": "x", "kind": "stuck", "nth": 0}, "begin at 1"),
    ],
)
def test_a_wrong_rule_is_refused_with_what_is_wrong(rule: Any, message: str) -> None:
    with pytest.raises(BadRule) as raised:
        faults.parse({"faults": [rule]})
    assert message in str(raised.value)


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("- path: jobs/*\n  kind: delay\n  seconds: 2\n")
    (rule,) = faults.read(file)
    assert rule == faults.Rule("jobs/*", faults.Delay(2))
    file.write_text("- path: [")
    with pytest.raises(BadRule, match="not valid YAML"):
        faults.read(file)


def test_the_admin_route_wants_its_secret_and_valid_rules(
    server: LocalServer, get: Callable[..., requests.Response]
) -> None:
    assert get("/admin/faults").status_code == 401
    with pytest.raises(OSError, match="400"):
        server.admin("faults", {"faults": [{"kind": "flood"}]})
    assert server.admin("faults") == {"faults": []}


def test_a_status_comes_with_the_services_error_or_the_rules_body(
    let_fail: LetFail, get: Callable[..., requests.Response], server: LocalServer
) -> None:
    let_fail(
        {"path": "/discovery", "kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
        {"path": "/discovery", "kind": "status", "nth": 2, "status": 502, "body": {"error": "as text"}},
    )
    first, second, third = get("/discovery"), get("/discovery"), get("/discovery")
    assert (first.status_code, first.headers["Retry-After"]) == (429, "7")
    assert first.json()["error"]["code"] == "ServerBusy"
    assert (second.status_code, second.json()) == (502, {"error": "as text"})
    assert third.status_code == 200
    assert [rule["calls"] for rule in server.admin("faults")["faults"]] == [3, 3]


def test_a_delay_holds_the_request_back(let_fail: LetFail, get: Callable[..., requests.Response]) -> None:
    let_fail({"path": "/discovery", "kind": "delay", "seconds": 0.3})
    began = time.monotonic()
    assert get("/discovery").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_delay_without_end_ends_with_its_rule(
    let_fail: LetFail, get: Callable[..., requests.Response], server: LocalServer
) -> None:
    let_fail({"path": "/discovery", "kind": "delay", "seconds": None})
    with ThreadPoolExecutor(1) as other:
        held = other.submit(get, "/discovery")
        until(lambda: server.admin("faults")["faults"][0]["hit"])
        assert get("/discovery").status_code == 200  # the rule is for one call
        assert not held.done()
        server.admin("faults", {"faults": []})
        assert held.result().status_code == 200


@pytest.mark.parametrize("acted", [False, True])
def test_a_reset_leaves_no_answer_and_the_deed_done_or_not(
    ml_client: Any, server: LocalServer, let_fail: LetFail, acted: bool
) -> None:
    from azure.identity import DefaultAzureCredential

    name = f"faulty-{uuid4().hex[:8]}"
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    size = {"vmSize": "Standard_DS3_v2", "scaleSettings": {"maxNodeCount": 1}}
    let_fail({"method": "PUT", "path": "computes/*", "kind": "reset", "acted": acted})
    with pytest.raises(requests.ConnectionError):
        requests.put(
            f"{server.url}{_WORKSPACE}/computes/{name}?api-version=2024-04-01",
            json={"properties": {"computeType": "AmlCompute", "properties": size}},
            headers={"Authorization": f"Bearer {token}"},
            verify=server.environment["REQUESTS_CA_BUNDLE"],
            timeout=PATIENCE,
        )
    assert (name in [compute.name for compute in ml_client.compute.list()]) is acted


@pytest.mark.parametrize(("kept", "length"), [(None, None), (10, 10)])
def test_a_truncated_body_is_shorter_than_its_length(
    let_fail: LetFail, get: Callable[..., requests.Response], kept: int | None, length: int | None
) -> None:
    whole = get("/discovery").content
    let_fail({"path": "/discovery", "kind": "truncate", "bytes": kept})
    with pytest.raises(requests.exceptions.ChunkedEncodingError) as raised:
        get("/discovery")
    assert f"{length or len(whole) // 2} bytes read" in str(raised.value)
    assert get("/discovery").content == whole


def test_the_sdk_gets_over_a_single_reset(ml_client: Any, cluster: str, let_fail: LetFail) -> None:
    let_fail({"path": f"computes/{cluster}", "kind": "reset"})
    assert ml_client.compute.get(cluster).name == cluster


def test_a_stuck_operation_ends_when_it_is_stepped(
    ml_client: Any, server: LocalServer, let_fail: LetFail
) -> None:
    from azure.ai.ml.entities import AmlCompute

    name = f"faulty-{uuid4().hex[:8]}"
    let_fail({"method": "PUT", "path": "computes/*", "kind": "stuck"})
    poller = ml_client.compute.begin_create_or_update(AmlCompute(name=name, size="Standard_DS3_v2"))
    assert ml_client.compute.get(name).provisioning_state == "Creating"
    assert not poller.done()
    server.admin("operations/step", {})
    poller.result()
    assert ml_client.compute.get(name).provisioning_state == "Succeeded"


def test_quota_and_expired_tokens_are_refused_as_the_service_does(ml_client: Any, let_fail: LetFail) -> None:
    from azure.ai.ml.entities import AmlCompute
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    let_fail(
        {"method": "PUT", "path": "computes/*", "kind": "quota"},
        {"method": "GET", "path": "computes/*", "kind": "expired-token"},
    )
    with pytest.raises(HttpResponseError, match="Not enough quota") as raised:
        ml_client.compute.begin_create_or_update(AmlCompute(name="over", size="Standard_DS3_v2")).result()
    assert raised.value.error.code == "ClusterCoreQuotaReached"
    with pytest.raises(ClientAuthenticationError, match="expiry"):
        ml_client.compute.get("any")


@pytest.mark.slow
def test_a_step_fails_with_the_rules_message(
    ml_client: Any, cluster: str, let_fail: LetFail, server: LocalServer
) -> None:
    let_fail({"method": "RUN", "path": "jobs/*", "kind": "step-failure", "message": "CUDA out of memory"})
    job = submit(ml_client, cluster, "echo fine")
    assert ended(ml_client, job.name).status == "Failed"
    error = ml_client.jobs._runs_operations.get_run_details(job.name).error.error.message
    assert "CUDA out of memory" in error
    again = submit(ml_client, cluster, "echo fine")
    assert ended(ml_client, again.name).status == "Completed"


@pytest.mark.slow
def test_a_preempted_step_begins_again(
    ml_client: Any, cluster: str, let_fail: LetFail, tmp_path: Path
) -> None:
    starts, go = tmp_path / "starts", tmp_path / "go"
    let_fail({"method": "RUN", "path": "jobs/*", "kind": "preemption", "seconds": 0.2})
    job = submit(ml_client, cluster, f"echo start >> {starts}; while [ ! -e {go} ]; do sleep 0.05; done")
    until(lambda: starts.exists() and starts.read_text().count("start") == 2)
    go.touch()
    assert ended(ml_client, job.name).status == "Completed"


def test_a_job_waits_while_there_is_no_capacity_and_can_be_cancelled(
    ml_client: Any, cluster: str, let_fail: LetFail
) -> None:
    let_fail({"method": "ALLOCATE", "path": f"computes/{cluster}", "kind": "no-capacity"})
    job = submit(ml_client, cluster, "echo fine")
    until(lambda: ml_client.jobs.get(job.name).status == "Queued")
    ml_client.jobs.begin_cancel(job.name).wait()
    assert ended(ml_client, job.name).status == "Canceled"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "no-capacity"}, "OutOfQuota: The specified VM size failed to provision due to a lack"),
        ({"kind": "lost-lock"}, "OperationCanceled: Operation was canceled waiting for lock confirmation"),
        ({"kind": "crash"}, "(?s)ResourceNotReady.*has crashed"),
    ],
)
def test_a_deployment_fails_and_comes_up_the_next_time(
    ml_client: Any, let_fail: LetFail, tmp_path: Path, fault: dict[str, Any], message: str
) -> None:
    from azure.ai.ml.entities import (
        CodeConfiguration,
        Environment,
        ManagedOnlineDeployment,
        ManagedOnlineEndpoint,
    )
    from azure.core.exceptions import HttpResponseError

    (tmp_path / "score.py").write_text("def init(): ...\ndef run(raw): return 'ok'\n")
    name = f"faulty-{uuid4().hex[:8]}"
    endpoint = ManagedOnlineEndpoint(name=name, auth_mode="key")
    ml_client.online_endpoints.begin_create_or_update(endpoint).result()
    blue = ManagedOnlineDeployment(
        name="blue",
        endpoint_name=name,
        code_configuration=CodeConfiguration(code=str(tmp_path), scoring_script="score.py"),
        environment=Environment(
            name="scoring", version="1", image="mcr.microsoft.com/azureml/minimal:latest"
        ),
        instance_type="Standard_DS3_v2",
        instance_count=1,
    )
    let_fail({"method": "START", "path": f"{name}/deployments/blue", **fault})
    with pytest.raises(HttpResponseError, match=message):
        ml_client.online_deployments.begin_create_or_update(blue).result()
    assert ml_client.online_deployments.get("blue", name).provisioning_state == "Failed"
    made = ml_client.online_deployments.begin_create_or_update(blue).result()
    assert made.provisioning_state == "Succeeded"
    ml_client.online_endpoints.begin_delete(name).wait()
