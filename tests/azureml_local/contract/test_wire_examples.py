"""The real exchanges that were recorded with Azure ML, asked again of the local workspace."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import requests
import yaml
from azure.identity import DefaultAzureCredential

from azureml_local.settings import Settings
from tasks.recording.tap import tapped
from tests.azureml_local.contract.shape import differences
from tests.azureml_local.contract.wire import Wire
from tests.conftest import LocalServer
from tests.support.checkout import SHARED
from tests.support.waiting import PATIENCE, until

ARM, SDK = "wire_examples_arm.json", "wire_examples_sdk.json"
pytestmark = pytest.mark.skipif(
    not all((SHARED / name).exists() for name in (ARM, SDK)), reason="the recorded exchanges are not at hand"
)

SCRIPT = "def init(): pass\ndef run(raw): return raw\n"
# Objects whose keys people choose.
MAPS = frozenset(
    {
        "tags",
        "value[].tags",
        "properties.environmentVariables",
        "properties.properties",
        "properties.outputs",
        "value[].properties.flavors",
        "value[].properties.flavors.*.data",
    }
)


def recorded(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    found: list[dict[str, Any]] = json.loads(path.read_text())["interactions"] if path.exists() else []
    return found


@pytest.fixture(scope="module")
def wire(server: LocalServer) -> Iterator[Wire]:
    """The session's workspace, asked directly."""
    settings = Settings(server.state, int(server.url.rsplit(":", 1)[1]))
    with pytest.MonkeyPatch.context() as patch, requests.Session() as session:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
        session.headers["Authorization"] = f"Bearer {token}"
        yield Wire(
            session,
            server.url,
            settings.subscription_id,
            settings.resource_group,
            settings.workspace,
            settings.location,
        )


@pytest.fixture(scope="module")
def upload(wire: Wire) -> Callable[[str, str], str]:
    """Puts a text into the default datastore; returns the address of its folder."""
    secrets = wire.send("POST", "datastores/workspaceblobstore/listSecrets").json()
    store = wire.send("GET", "datastores/workspaceblobstore").json()["properties"]
    base = f"https://{store['accountName']}.blob.{store['endpoint']}/{store['containerName']}"

    def put(name: str, text: str) -> str:
        folder = f"LocalUpload/{uuid4().hex}"
        answer = requests.put(
            f"{base}/{folder}/{name}?{secrets['sasToken']}",
            text,
            headers={"x-ms-blob-type": "BlockBlob"},
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        return f"azureml://datastores/workspaceblobstore/paths/{folder}"

    return put


@pytest.fixture(scope="module")
def endpoint(wire: Wire, upload: Callable[[str, str], str]) -> Iterator[dict[str, str]]:
    """The record's endpoint with its deployment of three instances."""
    code = wire.make("codes/online-code/versions/1", {"properties": {"codeUri": upload("score.py", SCRIPT)}})
    environment = wire.make("environments/openmpi/versions/1", {"properties": {"image": "openmpi"}})
    model_body = {"properties": {"modelType": "custom_model", "modelUri": upload("model.txt", "weights")}}
    properties = {
        "endpointComputeType": "Managed",
        "instanceType": "Standard_DS2_v2",
        "codeConfiguration": {"codeId": code["id"], "scoringScript": "score.py"},
        "environmentId": environment["id"],
        "environmentVariables": {"AML_APP_ROOT": "/var/azureml-app/Online"},
    }
    deployment = {
        "location": wire.location,
        "sku": {"name": "Default", "capacity": 3},
        "properties": properties,
    }
    properties["model"] = wire.make("models/work-online-model/versions/1", model_body)["id"]
    wire.make("onlineEndpoints/online-pwsh01", endpoint_body(wire))
    wire.make("onlineEndpoints/online-pwsh01/deployments/online-pwsh01-blue01", deployment)
    yield {"<e>": "online-pwsh01", "<d>": "online-pwsh01-blue01"}
    wire.send("DELETE", "onlineEndpoints/online-pwsh01")


@pytest.fixture(scope="module")
def deletable(wire: Wire, endpoint: dict[str, str]) -> dict[str, str]:
    """A second deployment like the first, still on its way up: it can be deleted in any state."""
    found = wire.send("GET", f"onlineEndpoints/{endpoint['<e>']}/deployments/{endpoint['<d>']}").json()
    properties = {k: v for k, v in found["properties"].items() if k != "provisioningState"}
    body = {"location": wire.location, "sku": {"name": "Default", "capacity": 1}, "properties": properties}
    answer = wire.send("PUT", f"onlineEndpoints/{endpoint['<e>']}/deployments/green", body)
    assert answer.status_code == 201, answer.text
    return {"<e>": endpoint["<e>"], "<d>": "green"}


@pytest.fixture(scope="module")
def another_endpoint(wire: Wire) -> Iterator[dict[str, str]]:
    """The name of an endpoint that is to be made."""
    yield {"<name>": "online-pwsh02"}
    wire.send("DELETE", "onlineEndpoints/online-pwsh02")


@pytest.fixture(scope="module")
def creation(wire: Wire) -> Iterator[dict[str, str]]:
    """The operation that made an endpoint."""
    answer = wire.send("PUT", "onlineEndpoints/online-pwsh03", endpoint_body(wire))
    yield {"oeidp:<id>:<id>": answer.headers["Azure-AsyncOperation"].rsplit("/", 1)[1].partition("?")[0]}
    wire.send("DELETE", "onlineEndpoints/online-pwsh03")


@pytest.fixture(scope="module")
def cluster(wire: Wire) -> Iterator[dict[str, str]]:
    wire.make("computes/batch-cluster", cluster_body(wire))
    yield {}
    wire.send("DELETE", "computes/batch-cluster?underlyingResourceAction=Delete")


@pytest.fixture(scope="module")
def another_cluster(wire: Wire) -> Iterator[dict[str, str]]:
    """The name of a cluster that is to be made."""
    yield {"<name>": "another-cluster"}
    wire.send("DELETE", "computes/another-cluster?underlyingResourceAction=Delete")


@pytest.fixture(scope="module")
def missing() -> dict[str, str]:
    return {"<missing>": "no-such-thing"}


@pytest.fixture(scope="module")
def model(wire: Wire, upload: Callable[[str, str], str]) -> dict[str, str]:
    """An MLflow model of the record's flavors."""
    (versions,) = (each for each in recorded(ARM) if each["what"] == "model version list")
    flavors = versions["response"]["body"]["value"][0]["properties"]["flavors"]
    text = yaml.safe_dump({"flavors": {name: flavor["data"] for name, flavor in flavors.items()}})
    properties = {"modelType": "mlflow_model", "modelUri": upload("MLmodel", text)}
    wire.make("models/heart-classifier-batch/versions/1", {"properties": properties})
    return {}


@pytest.fixture(scope="module")
def job(wire: Wire, cluster: dict[str, str]) -> dict[str, str]:
    """The record's job, Completed."""
    environment = wire.make("environments/commandjobenv1/versions/1", {"properties": {"image": "any"}})
    properties = {
        "jobType": "Command",
        "command": 'echo "hello powershell 01"',
        "displayName": "commandJob01",
        "experimentName": "jobexperiment",
        "environmentId": environment["id"],
        "computeId": f"{wire.path}/computes/batch-cluster",
    }
    answer = wire.send("PUT", "jobs/commandjob01", {"properties": properties})
    assert answer.status_code == 201, answer.text
    until(lambda: wire.send("GET", "jobs/commandjob01").json()["properties"]["status"] == "Completed")
    return {}


# The fixture that makes what each recorded exchange is about.
PREPARED = {
    "usages (quota) list, GPU-relevant subset of the rows": None,
    "model version list": "model",
    "online deployment get": "endpoint",
    "online deployment skus": "endpoint",
    "online endpoint create": "another_endpoint",
    "endpoint create poll": "creation",
    "deployment logs": "endpoint",
    "endpoint keys (AAD endpoint)": "endpoint",
    "deployment delete": "deletable",
    "compute get (AmlCompute; row of the list response)": "cluster",
    "compute get missing": "missing",
    "compute create": "another_cluster",
    "job get (command, Completed)": "job",
    "job cancel: synchronous 200, empty body, ALSO for an already Completed job": "job",
}


@pytest.mark.parametrize("example", recorded(ARM), ids=lambda example: example["what"][:40])
def test_a_recorded_exchange_is_answered_alike(
    wire: Wire, example: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    fixture = PREPARED[example["what"]]
    names = request.getfixturevalue(fixture) if fixture else {}
    asked = example["request"]
    if example["what"] == "compute create":  # whose body was not recorded
        asked = asked | {"body": cluster_body(wire)}
    answer = wire.replay(asked, names)
    expect(example["response"], answer, whole=not example.get("condensed"))


def test_a_registry_asset_that_cannot_be_used_is_refused(wire: Wire) -> None:
    example = sdk("pipeline job create rejected: registry asset not in the workspace region")
    component = "azureml://registries/sdk-test/components/score_component/versions/2"
    properties = {
        "jobType": "Pipeline",
        "inputs": {"text": {"jobInputType": "literal", "value": "x"}},
        "jobs": {"node": {"type": "command", "componentId": component, "inputs": {}, "outputs": {}}},
    }
    answer = wire.send("PUT", f"jobs/{uuid4().hex}", {"properties": properties})
    expect(example["response"], answer, whole=False)
    error, wanted = answer.json()["error"], example["response"]["body"]["error"]
    assert error["code"] == wanted["code"]
    assert component in error["message"]
    types = [[info["type"] for info in each["additionalInfo"]] for each in (error, wanted)]
    assert types[0] == types[1]


def test_a_file_is_uploaded_once_in_the_recorded_steps(ml_client: Any, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Data

    asked, secrets, looked_for, looked_elsewhere, written = sdk("data upload sequence")["sequence"]
    (tmp_path / "data.txt").write_text(uuid4().hex)
    with sent() as first:
        ml_client.data.create_or_update(Data(name="recorded", path=str(tmp_path), type="uri_folder"))
    assert_in_order(first, (asked, 200), (secrets, 200), (looked_for, 404), (written, 201))
    with sent() as second:
        ml_client.data.create_or_update(Data(name="recorded", path=str(tmp_path), type="uri_folder"))
    assert_in_order(second, (looked_for, 200), (looked_elsewhere, 404))
    assert not [path for method, path, _ in second if method == "PUT" and "LocalUpload" in path]


def test_a_registry_says_where_it_is(wire: Wire) -> None:
    answer = wire.send("GET", "/registrymanagement/v1.0/registries/azureml/discovery")
    expected = sdk("registry discovery ok")["response"]
    assert answer.status_code == expected["status"]
    assert answer.json().keys() == set(expected["fields"])


def test_another_registry_is_denied(wire: Wire) -> None:
    answer = wire.send("GET", "/registrymanagement/v1.0/registries/sdkv2-testFeed/discovery")
    expect(sdk("registry discovery denied")["response"], answer, whole=False)
    assert answer.json()["statusCode"] == 403


def test_a_missing_endpoint_is_deleted_without_an_error(wire: Wire) -> None:
    answer = wire.send("DELETE", "onlineEndpoints/no-such-endpoint")
    expect(sdk("delete a non-existing online endpoint")["response"], answer)
    assert answer.content == b""


def test_the_workspace_says_where_its_services_are(wire: Wire) -> None:
    workspace = wire.send("GET", wire.path).json()
    wanted = sdk("workspace get, fields")["fields"]
    assert list(different_fields(wanted, workspace)) == []
    assert workspace["properties"]["mlFlowTrackingUri"].startswith("azureml://")
    assert workspace["properties"]["discoveryUrl"].endswith("/discovery")
    assert workspace["sku"] == {"name": "Basic", "tier": "Basic"}


def test_every_recorded_exchange_is_tried() -> None:
    text = Path(__file__).read_text()
    assert {each["what"] for each in recorded(ARM)} == PREPARED.keys()
    assert [each["what"] for each in recorded(SDK) if f'sdk("{each["what"]}")' not in text] == []


def sdk(what: str) -> dict[str, Any]:
    """The one exchange of that title."""
    (found,) = (each for each in recorded(SDK) if each["what"] == what)
    return found


def expect(response: dict[str, Any], answer: requests.Response, *, whole: bool = True) -> None:
    """Hold an answer against a recorded one: its status, its headers' names, and its body's shape."""
    assert answer.status_code == response["status"], answer.text
    assert [name for name in response.get("headers", {}) if name not in answer.headers] == []
    if "body" in response and response["body"] is None:
        assert answer.content in (b"", b"null")  # the condensed records do not tell one from the other
    elif "body" in response:
        found = differences(response["body"], answer.json(), MAPS, whole=whole)
        assert "\n".join(found) == ""
    assert (
        list(different_fields(response.get("body_fields", {}), answer.json() if answer.content else {})) == []
    )


def different_fields(wanted: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    """The paths at which a document has nothing, another type, or another value where the record has one."""
    for path, value in wanted.items():
        found: Any = document
        for key in path.split("."):
            found = found.get(key, ...)
            if found is ...:
                break
        elided = not value or isinstance(value, dict) or re.search("[ …<]", value)
        if type(found) is not type(value) or not (elided or found == value):
            yield f"{path} is {found!r}"


def assert_in_order(seen: list[tuple[str, str, int]], *steps: tuple[str, int]) -> None:
    """Assert that the recorded steps, each with its status, were taken one after another."""
    rest = iter(seen)
    for step, status in steps:
        method, _, what = step.partition(" ")
        part = re.search(r"/datastores/\S+|LocalUpload|az-ml-artifacts|$", what)
        assert part is not None
        assert any(call[::2] == (method, status) and part[0] in call[1] for call in rest), (step, seen)


@contextmanager
def sent() -> Iterator[list[tuple[str, str, int]]]:
    """Method, path and status of each exchange of the block."""
    seen: list[tuple[str, str, int]] = []

    def see(request: requests.PreparedRequest, response: requests.Response) -> None:
        seen.append((str(request.method), urlsplit(str(request.url)).path, response.status_code))

    with tapped(see):
        yield seen


def endpoint_body(wire: Wire) -> dict[str, Any]:
    return {"location": wire.location, "properties": {"authMode": "AADToken"}}


def cluster_body(wire: Wire) -> dict[str, Any]:
    size = {"vmSize": "Standard_DS3_v2", "scaleSettings": {"maxNodeCount": 1}}
    return {"location": wire.location, "properties": {"computeType": "AmlCompute", "properties": size}}
