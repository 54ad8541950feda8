"""Batch endpoints through the SDK: made, deployed to, asked for jobs, and what comes out of these."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.identity import DefaultAzureCredential

from tests.conftest import LocalServer
from tests.support.processes import runs
from tests.support.waiting import PATIENCE, until

ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"
COMPUTE = "batch-cpu"
TERMINAL = {"Completed", "Failed", "Canceled"}
# Says of each file what the model's file says, and how long it is.
SCRIPT = """
import os
import time
from pathlib import Path

def init():
    global model
    (folder,) = Path(os.environ["AZUREML_MODEL_DIR"]).iterdir()
    model = (folder / "weights.txt").read_text()

def run(mini_batch):
    if "pid.txt" in os.listdir(os.path.dirname(mini_batch[0])):
        Path(os.environ["AZUREML_BI_OUTPUT_PATH"], "pid.txt").write_text(str(os.getpid()))
        time.sleep(600)
    return [[os.path.basename(name), model, len(Path(name).read_text())] for name in mini_batch]
"""
PIPELINE = f"""
name: tell
version: "NAME"
type: pipeline
inputs: {{text: {{type: uri_file}}, times: {{type: integer, default: 1}}}}
outputs: {{said: {{type: uri_folder}}}}
jobs:
  say:
    type: command
    command: >-
      for i in $(seq ${{{{inputs.times}}}}); do cat ${{{{inputs.text}}}}; done
      > ${{{{outputs.said}}}}/said.txt
    environment: {ENVIRONMENT}
    inputs:
      text: {{type: uri_file, path: "${{{{parent.inputs.text}}}}"}}
      times: "${{{{parent.inputs.times}}}}"
    outputs: {{said: "${{{{parent.outputs.said}}}}"}}
"""
# As Microsoft's examples describe and write them, in words of our own.
DEPLOYMENT = f"""
name: described
endpoint_name: ENDPOINT
model: {{path: ./code, type: custom_model}}
code_configuration: {{code: code, scoring_script: driver.py}}
environment: {ENVIRONMENT}
environment_variables: {{MARK: "!"}}
compute: azureml:{COMPUTE}
resources: {{instance_count: 2}}
max_concurrency_per_instance: 2
mini_batch_size: 1
output_action: summary_only
retry_settings: {{max_retries: 1, timeout: 30}}
error_threshold: 0
logging_level: debug
"""
OWN_RESULTS = """
import os
import shutil

def init():
    pass

def run(mini_batch):
    for path in mini_batch:
        target = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], os.path.basename(path))
        shutil.copy(path, target)
        with open(target, "a") as file:
            file.write(os.environ["MARK"])
    return mini_batch
"""
JOB = f"""
type: pipeline
settings: {{default_compute: "azureml:serverless"}}
inputs: {{status: 0}}
jobs:
  say:
    type: command
    command: exit ${{{{inputs.status}}}}
    environment: {ENVIRONMENT}
    inputs: {{status: "${{{{parent.inputs.status}}}}"}}
"""
Deploy = Callable[..., Any]


@pytest.fixture(autouse=True)
def fresh_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the SDK forget the deployment of the last call, which it keeps in a dictionary of the class."""
    from azure.ai.ml.constants._endpoint import EndpointInvokeFields

    monkeypatch.setattr(EndpointInvokeFields, "DEFAULT_HEADER", {"Content-Type": "application/json"})


@pytest.fixture
def cluster(ml_client: Any) -> str:
    from azure.ai.ml.entities import AmlCompute

    ml_client.compute.begin_create_or_update(AmlCompute(name=COMPUTE, size="Standard_DS3_v2")).result()
    return COMPUTE


@pytest.fixture
def endpoint(ml_client: Any) -> Iterator[str]:
    from azure.ai.ml.entities import BatchEndpoint

    name = f"batch-{uuid4().hex[:8]}"
    made = BatchEndpoint(name=name, description="tells lengths", tags={"kind": "test"})
    ml_client.batch_endpoints.begin_create_or_update(made).result()
    yield name
    ml_client.batch_endpoints.begin_delete(name).result()


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


@pytest.fixture
def deploy(ml_client: Any, cluster: str, endpoint: str, tmp_path: Path) -> Deploy:
    """Makes a deployment of the script over a model of one file; takes its name and settings."""
    from azure.ai.ml.entities import (
        CodeConfiguration,
        Model,
        ModelBatchDeployment,
        ModelBatchDeploymentSettings,
    )

    code = written(tmp_path / "code", score_py=SCRIPT)
    weights = written(tmp_path / "weights", weights_txt="m1")

    def make(name: str, mini_batch_size: int = 10, **settings: Any) -> Any:
        return ml_client.batch_deployments.begin_create_or_update(
            ModelBatchDeployment(
                name=name,
                endpoint_name=endpoint,
                model=Model(path=str(weights), type="custom_model"),
                code_configuration=CodeConfiguration(code=str(code), scoring_script="score.py"),
                environment=ENVIRONMENT,
                compute=cluster,
                settings=ModelBatchDeploymentSettings(mini_batch_size=mini_batch_size, **settings),
            )
        ).result()

    return make


def ended(client: Any, name: str) -> Any:
    return until(lambda: job if (job := client.jobs.get(name)).status in TERMINAL else None)


def folder(path: Path) -> Any:
    from azure.ai.ml import Input

    return Input(type="uri_folder", path=str(path))


def default(client: Any, endpoint: str) -> str | None:
    found = client.batch_endpoints.get(endpoint).defaults.deployment_name
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.slow
def test_a_folder_is_scored_by_the_only_deployment(
    ml_client: Any, deploy: Deploy, endpoint: str, tmp_path: Path
) -> None:
    made = deploy("first", mini_batch_size=2)
    assert (made.mini_batch_size, made.output_file_name, made.error_threshold) == (2, "predictions.csv", -1)
    assert (made.retry_settings.max_retries, made.retry_settings.timeout) == (3, 30)
    data = written(tmp_path / "data", a_txt="a", b_txt="bb", c_txt="ccc")
    job = ml_client.batch_endpoints.invoke(endpoint, input=folder(data))
    assert (job.status, job.id.split("/")[-6:-1]) == (
        "Preparing",
        ["batchEndpoints", endpoint, "deployments", "first", "jobs"],
    )
    done = ended(ml_client, job.name)
    assert (done.status, done.experiment_name) == ("Completed", endpoint)
    assert (done.tags["azureml.batchrun"], done.tags["azureml.deploymentname"]) == ("true", "first")

    rows = "['a.txt', 'm1', 1]\n['b.txt', 'm1', 2]\n['c.txt', 'm1', 3]\n"
    ml_client.jobs.download(job.name, download_path=tmp_path / "whole")
    assert (tmp_path / "whole" / "predictions.csv").read_text() == rows
    (step,) = ml_client.jobs.list(parent_job_name=job.name)
    assert (step.status, step.properties["azureml.moduleName"]) == ("Completed", "batchscoring")
    ml_client.jobs.download(step.name, download_path=tmp_path / "step", output_name="score")
    assert (tmp_path / "step" / "named-outputs" / "score" / "predictions.csv").read_text() == rows

    listed = [*ml_client.batch_endpoints.list_jobs(endpoint)]
    listed += ml_client.batch_deployments.list_jobs(endpoint, name="first")
    assert [(each.name, each.status) for each in listed] == [(job.name, "Completed")] * 2
    assert "batchscoring" not in {each.name for each in ml_client.components.list()}


@pytest.mark.slow
def test_an_endpoint_is_made_changed_and_deleted(ml_client: Any, deploy: Deploy, endpoint: str) -> None:
    from azure.core.exceptions import HttpResponseError, ResourceNotFoundError

    found = ml_client.batch_endpoints.get(endpoint)
    assert (found.auth_mode, found.description, found.tags) == (
        "aad_token",
        "tells lengths",
        {"kind": "test"},
    )
    assert (found.provisioning_state, found.defaults.deployment_name) == ("Succeeded", None)
    assert found.scoring_uri.endswith(f"/batchEndpoints/{endpoint}/jobs")
    assert endpoint in {each.name for each in ml_client.batch_endpoints.list()}

    found.defaults.deployment_name = "first"
    with pytest.raises(HttpResponseError, match="has no deployment 'first'"):
        ml_client.batch_endpoints.begin_create_or_update(found)
    deploy("first")
    found.tags = {"kind": "changed"}
    changed = ml_client.batch_endpoints.begin_create_or_update(found).result()
    assert (changed.tags, changed.defaults.deployment_name) == ({"kind": "changed"}, "first")
    (only,) = ml_client.batch_deployments.list(endpoint)
    assert (only.name, only.compute.rsplit("/", 1)[1]) == ("first", COMPUTE)
    ml_client.batch_deployments.begin_delete("first", endpoint).result()
    assert list(ml_client.batch_deployments.list(endpoint)) == []
    assert default(ml_client, endpoint) is None

    ml_client.batch_endpoints.begin_delete(endpoint).result()
    with pytest.raises(ResourceNotFoundError):
        ml_client.batch_endpoints.get(endpoint)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This class is intended as a base class:UserWarning")  # by the SDK itself
def test_what_files_describe_is_deployed_and_writes_its_own_results(
    ml_client: Any, cluster: str, endpoint: str, tmp_path: Path
) -> None:
    from azure.ai.ml import Input, load_batch_deployment
    from azure.ai.ml.entities import Data

    written(tmp_path / "code", driver_py=OWN_RESULTS)
    described = written(tmp_path, deployment_yml=DEPLOYMENT.replace("ENDPOINT", endpoint)) / "deployment.yml"
    ml_client.begin_create_or_update(load_batch_deployment(described)).result()
    found = ml_client.batch_endpoints.get(endpoint)
    found.defaults.deployment_name = "described"
    ml_client.batch_endpoints.begin_create_or_update(found).result()
    assert ml_client.batch_deployments.get("described", endpoint).output_action == "summary_only"

    files = written(tmp_path / "data", a_txt="a", b_txt="b")
    data = ml_client.data.create_or_update(Data(name=endpoint, path=str(files), type="uri_folder"))
    job = ml_client.batch_endpoints.invoke(endpoint, input=Input(path=data.id))
    assert ended(ml_client, job.name).status == "Completed"
    (step,) = ml_client.jobs.list(parent_job_name=job.name)
    assert step.creation_context.last_modified_at >= step.creation_context.created_at
    ml_client.jobs.download(step.name, download_path=tmp_path, output_name="score")
    results = sorted((tmp_path / "named-outputs" / "score").iterdir())
    assert [(each.name, each.read_text()) for each in results] == [("a.txt", "a!"), ("b.txt", "b!")]
    assert [each.name for each in ml_client.jobs.list() if each.experiment_name == endpoint] == [job.name]


@pytest.mark.slow
def test_a_pipeline_component_is_deployed_and_asked_with_values(
    ml_client: Any, cluster: str, endpoint: str, tmp_path: Path
) -> None:
    from azure.ai.ml import Input, Output, load_component
    from azure.ai.ml.entities import PipelineComponentBatchDeployment

    component = load_component(StringIO(PIPELINE.replace("NAME", uuid4().hex)))
    ml_client.batch_deployments.begin_create_or_update(
        PipelineComponentBatchDeployment(
            name="teller",
            endpoint_name=endpoint,
            component=ml_client.components.create_or_update(component),
            settings={"default_compute": cluster, "continue_on_step_failure": "False"},
        )
    ).result()
    text = written(tmp_path / "data", a_txt="hello ") / "a.txt"
    place = f"{ml_client.datastores.get_default().id}/paths/told/{endpoint}"
    job = ml_client.batch_endpoints.invoke(
        endpoint,
        deployment_name="teller",
        inputs={
            "text": Input(type="uri_file", path=str(text)),
            "times": Input(type="integer", default=2),
        },
        outputs={"said": Output(type="uri_folder", path=place)},
        experiment_name="telling",
    )
    done = ended(ml_client, job.name)
    assert (done.status, done.experiment_name) == ("Completed", "telling")
    assert done.tags["azureml.jobtype"] == "azureml.pipelinejob"
    assert done.outputs["said"].path.endswith(f"/datastores/workspaceblobstore/paths/told/{endpoint}")
    ml_client.jobs.download(job.name, download_path=tmp_path / "got", output_name="said")
    assert (tmp_path / "got" / "named-outputs" / "said" / "said.txt").read_text() == "hello hello "


def test_a_job_is_deployed_as_the_component_that_it_could_be(
    ml_client: Any, cluster: str, endpoint: str
) -> None:
    from azure.ai.ml import load_job
    from azure.ai.ml.entities import PipelineComponentBatchDeployment
    from azure.core.exceptions import HttpResponseError

    def deploy(job: str) -> None:
        ml_client.batch_deployments.begin_create_or_update(
            PipelineComponentBatchDeployment(
                name="again",
                endpoint_name=endpoint,
                job_definition=f"azureml:{job}",
                settings={"default_compute": cluster},
            )
        ).result()

    with pytest.raises(HttpResponseError, match="The job none was not found"):
        deploy("none")
    deploy(ml_client.jobs.create_or_update(load_job(StringIO(JOB))).name)
    job = ml_client.batch_endpoints.invoke(endpoint)
    assert ended(ml_client, job.name).status == "Completed"
    (step,) = ml_client.jobs.list(parent_job_name=job.name)
    assert (step.status, step.display_name) == ("Completed", "say")


@pytest.mark.slow
def test_an_mlflow_model_needs_no_script(ml_client: Any, cluster: str, endpoint: str, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Model, ModelBatchDeployment

    model = written(tmp_path / "model", MLmodel=MLMODEL, loader_py=LOADER)
    ml_client.batch_deployments.begin_create_or_update(
        ModelBatchDeployment(
            name="plain",
            endpoint_name=endpoint,
            model=Model(path=str(model), type="mlflow_model"),
            compute=cluster,
        )
    ).result()
    data = written(tmp_path / "data", a_csv="x,y\n1,2\n3,4\n", b_csv="x,y\n5,6\n")
    job = ml_client.batch_endpoints.invoke(endpoint, input=folder(data))
    assert ended(ml_client, job.name).status == "Completed"
    ml_client.jobs.download(job.name, download_path=tmp_path / "got")
    assert (tmp_path / "got" / "predictions.csv").read_text() == "0,3,a.csv\n1,7,a.csv\n0,11,b.csv\n"


MLMODEL = """
flavors:
  python_function: {loader_module: loader, code: .}
"""
LOADER = """
class Sum:
    def predict(self, table):
        return table.sum(axis=1).to_numpy()

def _load_pyfunc(path):
    return Sum()
"""


def test_a_cancelled_job_leaves_no_worker(
    ml_client: Any, deploy: Deploy, endpoint: str, server: LocalServer, tmp_path: Path
) -> None:
    from azure.ai.ml import Input
    from azure.ai.ml.entities import Data

    deploy("slow")
    place = f"cancelled/{endpoint}"
    data = Data(name=endpoint, path=str(written(tmp_path / "data", pid_txt="x")), type="uri_folder")
    asset = ml_client.data.create_or_update(data)
    job = ml_client.batch_endpoints.invoke(
        endpoint,
        input=Input(type="uri_folder", path=f"azureml:{asset.name}:{asset.version}"),
        params_override=[
            {"output_dataset.datastore_id": f"azureml:{ml_client.datastores.get_default().id}"},
            {"output_dataset.path": f"/{place}/"},
        ],
    )
    written_pid = server.state / "blobs" / "azureml-blobstore" / place / "pid.txt"
    pid = int(until(lambda: written_pid.read_text() if written_pid.exists() else None))
    assert runs(pid)
    ml_client.jobs.begin_cancel(job.name).result()
    assert ended(ml_client, job.name).status == "Canceled"
    assert not runs(pid)


@pytest.fixture
def ask(server: LocalServer, environment: dict[str, str]) -> Callable[..., requests.Response]:
    """Sends a request as a script without the SDK does."""

    def send(method: str, url: str, resource: str, body: Any = None, **headers: str) -> requests.Response:
        token = DefaultAzureCredential().get_token(f"{resource}/.default").token
        return requests.request(
            method,
            url,
            json=body,
            headers={"Authorization": f"Bearer {token}", **headers},
            timeout=PATIENCE,
        )

    return send


# What the answer to an invocation had in 2023 (azure-sdk-for-python, batch_services).
RECORDED = {
    "provisioningState",
    "inputData",
    "compute",
    "output",
    "retrySettings",
    "status",
    "interactionEndpoints",
    "tags",
    "properties",
    "name",
}
RECORDED_TAGS = {"outputType", "inputType"} | {
    f"azureml.{name}" for name in ("batchrun", "deploymentname", "jobtype")
}
RECORDED_PARAMETERS = {
    "run_max_try",
    "run_invocation_timeout",
    "mini_batch_size",
    "error_threshold",
    "logging_level",
    "process_count_per_node",
    "legacy_model_job",
    "NodeCount",
    "append_row_file_name",
}
ML, ARM = "https://ml.azure.com", "https://management.azure.com"


def test_a_script_asks_by_rest_with_a_token_for_azure_ml(
    ml_client: Any, deploy: Deploy, endpoint: str, ask: Callable[..., requests.Response], tmp_path: Path
) -> None:
    deploy("first")
    deploy("second")
    uri = ml_client.batch_endpoints.get(endpoint).scoring_uri
    missing = {"JobInputType": "UriFolder", "Uri": "azureml:no-such-data:1"}
    refused = ask("POST", uri, ARM, {"properties": {"InputData": {"any": missing}}})
    assert (refused.status_code, "https://ml.azure.com" in refused.json()["error"]["message"]) == (401, True)
    undecided = ask("POST", uri, ML, {"properties": {"InputData": {"any": missing}}}).json()["error"]
    assert "no default deployment" in undecided["message"]
    second = {"azureml-model-deployment": "second"}
    unknown = ask("POST", uri, ML, {"properties": {"InputData": {"any": missing}}}, **second)
    assert (unknown.status_code, "no-such-data" in unknown.json()["error"]["message"]) == (400, True)
    gone = ask("POST", uri, ML, {"properties": {}}, **{"azureml-model-deployment": "third"})
    assert gone.status_code == 404

    store = ml_client.datastores.get_default().id
    data = {"JobInputType": "UriFolder", "Uri": f"{store}/paths/no/data"}
    body = {"properties": {"InputData": {"any": data}, "errorThreshold": 0}}
    once = {**second, "Repeatability-Request-ID": uuid4().hex}
    first, again = (ask("POST", uri, ML, body, **once) for _ in range(2))
    assert (first.status_code, first.headers["azureml-model-deployment"]) == (201, "second")
    assert first.json()["name"] == again.json()["name"]
    shown = first.json()["properties"]
    assert RECORDED - shown.keys() == set()
    assert shown["tags"].keys() == RECORDED_TAGS
    assert json.loads(shown["properties"]["azureml.parameters"]).keys() == RECORDED_PARAMETERS
    assert shown["status"] == "Preparing"
    assert shown["inputData"]["any"]["jobInputType"] == "UriFolder"
    assert ask("GET", first.headers["Location"], ML).json()["name"] == first.json()["name"]
    failed = ended(ml_client, first.json()["name"])
    assert failed.status == "Failed"
    assert len(list(ml_client.batch_deployments.list_jobs(endpoint, name="second"))) == 1
    assert list(ml_client.batch_deployments.list_jobs(endpoint, name="first")) == []
