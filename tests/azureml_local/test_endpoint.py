"""Online endpoints and deployments through the SDK, scored with plain requests as a customer would."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    CodeConfiguration,
    Environment,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential

from tests.conftest import LocalServer, poll_often
from tests.support.processes import runs
from tests.support.waiting import OFTEN, PATIENCE, until

# A scoring script that does what the request says.
SCRIPT = """
import json, os, time
from pathlib import Path

def init():
    print("init of version VERSION", flush=True)

def run(raw):
    asked = json.loads(raw)
    if "sleep" in asked:
        Path(asked["began"]).touch()
        until = Path(asked["sleep"])
        while not until.exists():
            time.sleep(0.02)
    if "fail" in asked:
        raise RuntimeError(asked["fail"])
    if "die" in asked:
        os._exit(3)
    if "note" in asked:
        with open(asked["note"], "a") as file:
            file.write("VERSION\\n")
    return {"version": "VERSION", "pid": os.getpid(), "setting": os.environ.get("SETTING")}
"""


def code(folder: Path, version: str = "one", script: str = SCRIPT) -> CodeConfiguration:
    source = folder / version
    source.mkdir(exist_ok=True)
    (source / "score.py").write_text(script.replace("VERSION", version))
    return CodeConfiguration(code=str(source), scoring_script="score.py")


def deployment(endpoint: str, name: str, configuration: CodeConfiguration, **extra: Any) -> Any:
    extra.setdefault("instance_type", "Standard_DS3_v2")
    return ManagedOnlineDeployment(
        name=name,
        endpoint_name=endpoint,
        code_configuration=configuration,
        environment=Environment(
            name="scoring", version="1", image="mcr.microsoft.com/azureml/minimal:latest"
        ),
        instance_count=extra.pop("instance_count", 1),
        **extra,
    )


def score(client: MLClient, endpoint: str, body: Any, **headers: str) -> requests.Response:
    found = client.online_endpoints.get(endpoint)
    key = client.online_endpoints.get_keys(endpoint).primary_key
    return requests.post(
        found.scoring_uri,
        data=body if isinstance(body, str) else json.dumps(body),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
        timeout=PATIENCE,
    )


@pytest.fixture(scope="module")
def client(server: LocalServer) -> Iterator[MLClient]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        poll_often(patch)
        yield MLClient(
            DefaultAzureCredential(),
            os.environ["AZURE_SUBSCRIPTION_ID"],
            os.environ["AZURE_RESOURCE_GROUP"],
            os.environ["AZUREML_WORKSPACE_NAME"],
            polling_interval=OFTEN,
        )


@pytest.fixture
def new_endpoint(client: MLClient) -> Iterator[Callable[..., str]]:
    """Makes endpoints that are deleted after the test."""
    made: list[str] = []

    def make(**extra: Any) -> str:
        name = f"ep-{uuid4().hex[:12]}"
        extra.setdefault("auth_mode", "key")
        client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, **extra)).result()
        made.append(name)
        return name

    yield make
    for name in made:
        client.online_endpoints.begin_delete(name).wait()


@pytest.fixture(scope="module")
def endpoint(client: MLClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An endpoint with the deployment `demo` that gets all traffic."""
    name = f"ep-{uuid4().hex[:12]}"
    client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode="key")).result()
    settings = OnlineRequestSettings(request_timeout_ms=30000, max_concurrent_requests_per_instance=1)
    wanted = deployment(name, "demo", code(tmp_path_factory.mktemp("code")), request_settings=settings)
    client.online_deployments.begin_create_or_update(wanted).result()
    route(client, name, {"demo": 100})
    yield name
    client.online_endpoints.begin_delete(name).wait()


def route(
    client: MLClient, endpoint: str, traffic: dict[str, int], mirror: dict[str, int] | None = None
) -> None:
    found = client.online_endpoints.get(endpoint)
    found.traffic, found.mirror_traffic = traffic, mirror or {}
    client.online_endpoints.begin_create_or_update(found).result()


def test_an_endpoint_lives_from_creation_to_deletion(
    client: MLClient, new_endpoint: Callable[..., str]
) -> None:
    name = new_endpoint(tags={"owner": "me"}, description="a test")
    found = client.online_endpoints.get(name.upper())
    assert (found.name, found.provisioning_state, found.tags) == (name, "Succeeded", {"owner": "me"})
    assert found.scoring_uri.startswith("https://localhost:")
    assert found.description == "a test"
    assert name in [each.name for each in client.online_endpoints.list()]
    client.online_endpoints.begin_delete(name).wait()
    with pytest.raises(ResourceNotFoundError):
        client.online_endpoints.get(name)
    client.online_endpoints.begin_delete(name).wait()  # 204: nothing to delete is no error


def test_a_name_held_by_another_workspace_is_refused(client: MLClient, server: LocalServer) -> None:
    server.admin("endpoint-names", {"name": "held-elsewhere"})
    wanted = ManagedOnlineEndpoint(name="held-elsewhere", auth_mode="key")
    with pytest.raises(
        HttpResponseError, match="InferencingClientCallFailed.*unique within a region"
    ) as error:
        client.online_endpoints.begin_create_or_update(wanted)
    assert (error.value.status_code, error.value.error.code) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("rule", "status", "words"),
    [
        ({}, 400, "already an endpoint with this name"),
        ({"missing": True}, 404, "InferencingClientCallFailed"),
    ],
    ids=["taken", "missing"],
)
def test_a_deleted_name_is_free_again_after_a_while(
    client: MLClient, server: LocalServer, rule: dict[str, Any], status: int, words: str
) -> None:
    name = f"ep-{uuid4().hex[:12]}"
    wanted = ManagedOnlineEndpoint(name=name, auth_mode="key")
    held = {"kind": "held-name", "path": f"onlineEndpoints/{name}", "seconds": 600, **rule}
    server.admin("faults", {"faults": [held]})
    try:
        client.online_endpoints.begin_create_or_update(wanted).result()
        client.online_endpoints.begin_delete(name).wait()
        with pytest.raises(HttpResponseError, match=words) as error:
            client.online_endpoints.begin_create_or_update(wanted)
        assert error.value.status_code == status
        server.admin("clock", {"seconds": 600})
        client.online_endpoints.begin_create_or_update(wanted).result()
        client.online_endpoints.begin_delete(name).wait()
    finally:
        server.admin("faults", {"faults": []})


def test_an_endpoint_that_is_updating_takes_no_deployment(
    client: MLClient, server: LocalServer, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    name = new_endpoint()
    busy = f"Cannot create a deployment in endpoint {name} because it is in Updating provisioning state"
    wanted = deployment(name, "demo", code(tmp_path))
    stuck = {"kind": "stuck", "method": "PUT", "path": f"onlineEndpoints/{name}"}
    server.admin("faults", {"faults": [stuck]})
    try:
        client.online_endpoints.begin_create_or_update(client.online_endpoints.get(name))
        with pytest.raises(HttpResponseError, match=busy) as error:
            client.online_deployments.begin_create_or_update(wanted)
        assert (error.value.status_code, error.value.error.code) == (400, "BadRequest")
        server.admin("operations/step", {})
        # A while after a GET has said Succeeded it may still be refused.
        server.admin("faults", {"faults": [{"kind": "updating", "path": f"{name}/deployments/demo"}]})
        assert client.online_endpoints.get(name).provisioning_state == "Succeeded"
        with pytest.raises(HttpResponseError, match=busy):
            client.online_deployments.begin_create_or_update(wanted)
    finally:
        server.admin("faults", {"faults": []})


@pytest.mark.parametrize("name", ["ab", "a" * 33, "1abc", "abc-", "a_b_c"])
def test_an_illegal_name_is_refused(client: MLClient, server: LocalServer, name: str) -> None:
    token = DefaultAzureCredential().get_token(f"{server.url}/.default").token
    address = f"{server.url}{workspace(client)}/onlineEndpoints/{name}?api-version=2024-04-01"
    body = {"location": "local", "properties": {"authMode": "Key"}}
    answer = requests.put(address, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
    assert answer.status_code == 400
    assert "is not valid" in answer.json()["error"]["message"]


def workspace(client: MLClient) -> str:
    return (
        f"/subscriptions/{client.subscription_id}/resourceGroups/{client.resource_group_name}/providers/"
        f"Microsoft.MachineLearningServices/workspaces/{client.workspace_name}"
    )


def test_a_deployment_answers_by_traffic_and_by_header(client: MLClient, endpoint: str) -> None:
    answer = score(client, endpoint, {})
    assert answer.status_code == 200, answer.text
    assert answer.json()["version"] == "one"
    assert answer.headers["azureml-model-deployment"] == answer.headers["azureml-model-session"] == "demo"
    assert answer.headers["x-ms-run-function-failed"] == "False"
    assert float(answer.headers["x-ms-run-fn-exec-ms"]) > 0
    assert answer.headers["X-Request-ID"]
    assert score(client, endpoint, {}, **{"azureml-model-deployment": "demo"}).status_code == 200
    absent = score(client, endpoint, {}, **{"azureml-model-deployment": "other"})
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "DeploymentNotFound")


def test_the_sdk_invokes_the_endpoint(client: MLClient, endpoint: str, tmp_path: Path) -> None:
    request = tmp_path / "request.json"
    request.write_text("{}")
    answer = client.online_endpoints.invoke(endpoint, request_file=str(request))
    assert json.loads(answer)["version"] == "one"


def test_a_wrong_key_is_refused(client: MLClient, endpoint: str) -> None:
    assert score(client, endpoint, {}, Authorization="Bearer wrong").status_code == 401
    assert score(client, endpoint, {}, Authorization="").status_code == 401


def test_regenerated_keys_replace_the_old_ones(client: MLClient, endpoint: str) -> None:
    old = client.online_endpoints.get_keys(endpoint)
    client.online_endpoints.begin_regenerate_keys(endpoint, key_type="secondary").result()
    new = client.online_endpoints.get_keys(endpoint)
    assert new.primary_key == old.primary_key
    assert score(client, endpoint, {}, Authorization=f"Bearer {old.secondary_key}").status_code == 401
    assert score(client, endpoint, {}, Authorization=f"Bearer {new.secondary_key}").status_code == 200


def test_a_failing_model_is_a_failed_dependency(client: MLClient, endpoint: str) -> None:
    answer = score(client, endpoint, {"fail": "no luck"})
    assert answer.status_code == 424
    assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
    assert answer.headers["ms-azureml-model-error-reason"] == "model_error"
    assert "no luck" in answer.json()["error"]["message"]


def test_an_endpoint_without_traffic_is_not_found(client: MLClient, new_endpoint: Callable[..., str]) -> None:
    answer = score(client, new_endpoint(), {})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NoTraffic")


def test_too_many_requests_at_once_are_refused(client: MLClient, endpoint: str, tmp_path: Path) -> None:
    began, release = tmp_path / "began", tmp_path / "release"
    slow = {"sleep": str(release), "began": str(began)}
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(score, client, endpoint, slow)
        until(began.exists)
        # One works, one may wait, the third is one too many; which of the two late ones waits is chance.
        late = [pool.submit(score, client, endpoint, {}) for _ in range(2)]
        until(lambda: any(each.done() for each in late))
        release.touch()
        answers = sorted(each.result().status_code for each in [first, *late])
    assert answers == [200, 200, 429]


def test_a_model_slower_than_the_request_timeout_is_given_up(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    name = new_endpoint()
    settings = OnlineRequestSettings(request_timeout_ms=300, max_concurrent_requests_per_instance=1)
    wanted = deployment(name, "demo", code(tmp_path), request_settings=settings)
    client.online_deployments.begin_create_or_update(wanted).result()
    release = tmp_path / "release"
    slow = {"sleep": str(release), "began": str(tmp_path / "began")}
    answer = score(client, name, slow, **{"azureml-model-deployment": "demo"})
    release.touch()
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "RequestTimeout")


@pytest.mark.slow
def test_a_container_that_dies_is_started_again(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    name = new_endpoint()
    client.online_deployments.begin_create_or_update(deployment(name, "demo", code(tmp_path))).result()
    route(client, name, {"demo": 100})
    before = score(client, name, {}).json()["pid"]
    assert score(client, name, {"die": True}).status_code == 502
    until(lambda: score(client, name, {}).status_code == 200)
    assert score(client, name, {}).json()["pid"] != before


def test_a_deployment_logs_and_costs(client: MLClient, endpoint: str, server: LocalServer) -> None:
    assert "init of version one" in client.online_deployments.get_logs("demo", endpoint, lines=1000)
    last = client.online_deployments.get_logs("demo", endpoint, lines=1)
    assert "init of version one" not in last
    events = client.online_deployments.get_logs(
        "demo", endpoint, lines=9, container_type="storage-initializer"
    )
    assert "Container logs" not in events
    (row,) = [row for row in server.admin("ledger")["rows"] if row["owner"] == endpoint]
    assert row["running"]
    assert (row["vmSize"], row["name"]) == ("Standard_DS3_v2", f"{endpoint}/demo")


@pytest.mark.slow
def test_settings_change_without_a_new_server_and_code_with_one(
    client: MLClient, new_endpoint: Callable[..., str], server: LocalServer, tmp_path: Path
) -> None:
    name = new_endpoint()
    client.online_deployments.begin_create_or_update(deployment(name, "demo", code(tmp_path))).result()
    route(client, name, {"demo": 100})
    before = score(client, name, {}).json()

    found = client.online_deployments.get("demo", name)
    # What the service says of the container comes back with the change, and makes no other container of it.
    assert found.environment_variables == {
        "AZUREML_ENTRY_SCRIPT": "score.py",
        "AML_APP_ROOT": "/var/azureml-app/one",
    }
    found.instance_count, found.tags = 2, {"scaled": "yes"}
    client.online_deployments.begin_create_or_update(found).result()
    assert client.online_deployments.get("demo", name).instance_count == 2
    assert score(client, name, {}).json() == before
    rows = [row for row in server.admin("ledger")["rows"] if row["owner"] == name]
    assert [row["running"] for row in rows] == [False, True]
    assert rows[1]["hourlyPrice"] == 2 * rows[0]["hourlyPrice"]

    changed = deployment(name, "demo", code(tmp_path, "two"), environment_variables={"SETTING": "on"})
    client.online_deployments.begin_create_or_update(changed).result()
    after = score(client, name, {}).json()
    assert (after["version"], after["setting"]) == ("two", "on")
    assert not runs(before["pid"])

    client.online_endpoints.begin_delete(name).wait()
    assert not runs(after["pid"])
    assert not any(row["running"] for row in server.admin("ledger")["rows"] if row["owner"] == name)


@pytest.mark.slow
def test_traffic_is_split_and_mirrored(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    name = new_endpoint()
    for version in ("blue", "green"):
        wanted = deployment(name, version, code(tmp_path, version))
        client.online_deployments.begin_create_or_update(wanted).result()
    route(client, name, {"blue": 0, "green": 100})
    assert {score(client, name, {}).json()["version"] for _ in range(5)} == {"green"}
    assert score(client, name, {}, **{"azureml-model-deployment": "blue"}).json()["version"] == "blue"

    route(client, name, {"blue": 40, "green": 60})
    heard: set[str] = set()

    def both() -> bool:
        heard.add(score(client, name, {}).json()["version"])
        return heard == {"blue", "green"}

    until(both)

    route(client, name, {"blue": 100}, {"green": 50})
    copies = tmp_path / "copies"

    def mirrored() -> bool:
        assert score(client, name, {"note": str(copies)}).json()["version"] == "blue"
        return "green" in copies.read_text()

    until(mirrored)
    with pytest.raises(HttpResponseError, match="sum to 0 or 100"):
        route(client, name, {"blue": 50, "green": 20})
    with pytest.raises(HttpResponseError, match="not a deployment of this endpoint"):
        route(client, name, {"red": 100})


def test_a_crashing_container_fails_the_deployment_and_leaves_the_endpoint(
    client: MLClient, new_endpoint: Callable[..., str], server: LocalServer, tmp_path: Path
) -> None:
    name = new_endpoint()
    broken = code(
        tmp_path, script="def init():\n    raise ValueError('no such weights')\ndef run(raw):\n    pass\n"
    )
    with pytest.raises(HttpResponseError, match="crashed or terminated"):
        client.online_deployments.begin_create_or_update(deployment(name, "demo", broken)).result()
    assert client.online_deployments.get("demo", name).provisioning_state == "Failed"
    assert "no such weights" in client.online_deployments.get_logs("demo", name, lines=50)
    assert client.online_endpoints.get(name).provisioning_state == "Succeeded"
    assert [row["running"] for row in server.admin("ledger")["rows"] if row["owner"] == name] == [True]
    client.online_deployments.begin_delete("demo", name).wait()
    assert [row["running"] for row in server.admin("ledger")["rows"] if row["owner"] == name] == [False]


def test_a_container_that_is_never_ready_fails_behind_its_probe(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    stuck = code(tmp_path, script="import time\ndef init():\n    time.sleep(600)\ndef run(raw):\n    pass\n")
    probe = ProbeSettings(initial_delay=1, period=1, failure_threshold=1)
    wanted = deployment(new_endpoint(), "demo", stuck, readiness_probe=probe)
    with pytest.raises(HttpResponseError, match="Readiness probe failed"):
        client.online_deployments.begin_create_or_update(wanted).result()


def test_a_deployment_is_deleted_while_it_is_created(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path
) -> None:
    began = tmp_path / "pid"
    stuck = (
        "import os, time\n"
        f"def init():\n    open({str(began)!r}, 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    )
    name = new_endpoint()
    wanted = deployment(name, "demo", code(tmp_path, script=stuck + "def run(raw):\n    pass\n"))
    poller = client.online_deployments.begin_create_or_update(wanted)
    until(lambda: began.exists() and began.read_text() != "")
    client.online_endpoints.begin_delete(name).wait()
    with pytest.raises(HttpResponseError, match="deleted or replaced"):
        poller.result()
    assert not runs(int(began.read_text()))


@pytest.mark.parametrize(
    ("extra", "why"),
    [
        ({"instance_type": "Standard_NC6"}, "MIR"),
        ({"instance_type": "Standard_Imaginary"}, "not offered"),
        ({"instance_type": "Standard_NC64as_T4_v3", "instance_count": 10}, "Not enough quota available"),
        ({"request_settings": OnlineRequestSettings(request_timeout_ms=180001)}, "at most 180000"),
        ({"liveness_probe": ProbeSettings(timeout=300)}, "below 300"),
    ],
)
def test_what_azure_refuses_is_refused(
    client: MLClient, endpoint: str, tmp_path: Path, extra: dict[str, Any], why: str
) -> None:
    with pytest.raises(HttpResponseError, match=why):
        client.online_deployments.begin_create_or_update(
            deployment(endpoint, "refused", code(tmp_path), **extra)
        )
    with pytest.raises(ResourceNotFoundError):
        client.online_deployments.get("refused", endpoint)


@pytest.mark.parametrize("mode", ["aml_token", "aad_token"])
def test_token_endpoints_take_tokens_and_no_keys(
    client: MLClient, new_endpoint: Callable[..., str], tmp_path: Path, mode: str
) -> None:
    name = new_endpoint(auth_mode=mode)
    token = client.online_endpoints.get_keys(name).access_token
    # 404 for want of traffic is what an authenticated caller hears.
    assert score_with(client, name, token).status_code == 404
    assert score_with(client, name, "wrong").status_code == 401


def score_with(client: MLClient, endpoint: str, token: str) -> requests.Response:
    address = client.online_endpoints.get(endpoint).scoring_uri
    return requests.post(address, json={}, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)
