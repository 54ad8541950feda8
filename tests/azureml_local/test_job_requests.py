"""What a job asks for beside its command: it is done, or refused, and never dropped."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from azure.identity import DefaultAzureCredential

from azureml_local.execution import distribution
from azureml_local.settings import Settings
from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE, until

Send = Callable[..., requests.Response]
ENDED = ("Completed", "Failed", "Canceled")
HISTORY = "/history/v1.0"
ANY = "azureml://registries/azureml/environments/any/versions/1"
DATA = "azureml://datastores/workspaceblobstore/paths/job-requests/"


@pytest.fixture
def send(server: LocalServer, environment: dict[str, str]) -> Send:
    """Sends a request to a path below the workspace, of Resource Manager or of run history."""
    token = DefaultAzureCredential().get_token("https://management.azure.com/.default").token
    workspace = Settings(server.state, 0).workspace_arm_id

    def ask(
        method: str, path: str, properties: dict[str, Any] | None = None, *, service: str = ""
    ) -> requests.Response:
        return requests.request(
            method,
            f"{server.url}{service}{workspace}/{path}",
            params={"api-version": "2024-04-01"},
            json=None if properties is None else {"properties": properties},
            headers={"Authorization": f"Bearer {token}"},
            timeout=PATIENCE,
        )

    return ask


@pytest.fixture
def run(send: Send) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Runs a command with the properties to its end; its name, and what the service says of it."""

    def submit(command: str, **properties: Any) -> tuple[str, dict[str, Any]]:
        name = f"r-{uuid4().hex[:10]}"
        given = {"jobType": "Command", "command": command, "environmentId": ANY, **properties}
        answer = send("PUT", f"jobs/{name}", given)
        assert answer.status_code == 201, answer.text
        return name, ended(send, name)

    return submit


def ended(send: Send, name: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = send("GET", f"runs/{name}", service=HISTORY).json()
        return found if found["status"] in ENDED else None

    return until(look)


def written(server: LocalServer, job: str, path: str = "user_logs/std_log.txt") -> list[str]:
    artifacts = server.state / "blobs" / "azureml" / "ExperimentRun" / f"dcid.{job}"
    return (artifacts / path).read_text().splitlines()


@pytest.fixture
def data(server: LocalServer) -> Path:
    """A folder of the default datastore with one file."""
    folder = server.state / "blobs" / "azureml-blobstore" / "job-requests" / "in"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.txt").write_text("as it was")
    return folder


def test_processes_find_each_other_on_nodes_that_are_process_groups(run: Any, server: LocalServer) -> None:
    said = "$RANK $LOCAL_RANK $NODE_RANK $WORLD_SIZE $MASTER_ADDR:$MASTER_PORT"
    name, job = run(
        f'echo "{said} $(ps -o pgid= $$)"',
        resources={"instanceCount": 2},
        distribution={"distributionType": "PyTorch", "processCountPerInstance": 2},
    )
    assert job["status"] == "Completed", job["error"]
    rows = [written(server, name, f"user_logs/std_log_process_{rank}.txt")[0].split() for rank in range(4)]
    assert [row[:4] for row in rows] == [
        ["0", "0", "0", "4"],
        ["1", "1", "0", "4"],
        ["2", "0", "1", "4"],
        ["3", "1", "1", "4"],
    ]
    assert len({row[4] for row in rows}) == 1
    groups = [row[5] for row in rows]
    assert groups[0] == groups[1] != groups[2] == groups[3]


def test_a_process_that_fails_ends_the_others_and_its_log_is_named(run: Any, server: LocalServer) -> None:
    _, job = run(
        "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then echo broke; exit 3; fi; sleep 600",
        distribution={"distributionType": "Mpi", "processCountPerInstance": 2},
    )
    message = job["error"]["error"]["message"]
    assert job["status"] == "Failed"
    assert "status code 3" in message
    assert "user_logs/std_log_process_1.txt" in message
    assert message.endswith("Error: broke")


def test_parameter_servers_are_not_waited_for(run: Any, server: LocalServer, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    name, job = run(
        f"""echo "$TF_CONFIG"; case "$TF_CONFIG" in *'"type": "ps"'*) touch {begun}; sleep 600;; esac; """
        f"i=0; while [ ! -e {begun} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done",
        distribution={"distributionType": "TensorFlow", "workerCount": 2, "parameterServerCount": 1},
    )
    assert job["status"] == "Completed", job["error"]
    first, second, server_ = (
        json.loads(written(server, name, f"user_logs/std_log_{log}.txt")[0])
        for log in ("process_0", "process_1", "ps_0")
    )
    assert [each["task"] for each in (first, second, server_)] == [
        {"type": "worker", "index": 0},
        {"type": "worker", "index": 1},
        {"type": "ps", "index": 0},
    ]
    assert {kind: len(hosts) for kind, hosts in first["cluster"].items()} == {"worker": 2, "ps": 1}


@pytest.mark.parametrize(
    ("given", "workers"),
    [
        ({"type": "mpi", "process_count_per_instance": "3"}, 6),  # as a component keeps it
        ({"distributionType": "PyTorch"}, 2),
        ({"distributionType": "TensorFlow", "workerCount": 5}, 5),
        ({}, None),
    ],
)
def test_a_distribution_counts_by_node(given: dict[str, Any], workers: int | None) -> None:
    objections: list[str] = []
    found = distribution.read(given, 2, "The job", objections)
    assert (found and found.workers, objections) == (workers, [])


def test_data_is_reached_as_the_job_says(run: Any, server: LocalServer, data: Path) -> None:
    inputs = {
        mode: {"jobInputType": "uri_folder", "uri": DATA + "in", "mode": mode}
        for mode in ("ReadOnlyMount", "Download", "Direct")
    }
    name, job = run(
        "echo ${{inputs.ReadOnlyMount}}; echo ${{inputs.Download}}; echo ${{inputs.Direct}}; "
        "echo changed > ${{inputs.Download}}/a.txt; cat ${{inputs.ReadOnlyMount}}/a.txt",
        inputs=inputs,
    )
    assert job["status"] == "Completed", job["error"]
    mounted, downloaded, address, content = written(server, name)
    assert (Path(mounted), content) == (data, "as it was")
    assert Path(downloaded).name == "in"
    assert str(server.state / "jobs") in downloaded
    assert address.startswith("azureml://subscriptions/")
    assert address.endswith("/datastores/workspaceblobstore/paths/job-requests/in")


def test_variables_name_inputs_outputs_and_values(run: Any, server: LocalServer, data: Path) -> None:
    name, job = run(
        "source /dev/null; echo $AZURE_ML_INPUT_data; echo $AZUREML_PARAMETER_rate; "
        'echo made > "$AZURE_ML_OUTPUT_made/x.txt"; cat $AZUREML_PARAMETER_made/x.txt',
        inputs={
            "data": {"jobInputType": "uri_folder", "uri": DATA + "in"},
            "rate": {"jobInputType": "literal", "value": "0.5"},
        },
        outputs={"made": {"jobOutputType": "uri_folder"}},
    )
    assert job["status"] == "Completed", job["error"]
    assert written(server, name) == [str(data), "0.5", "made"]


def component(send: Send, command: str, **spec: Any) -> str:
    """The id of a new component of that command."""
    path = f"components/c-{uuid4().hex[:10]}/versions/1"
    given = {"type": "command", "command": command, "is_deterministic": False, **spec}
    answer = send("PUT", path, {"componentSpec": {**given, "environment": "azureml:AzureML-any:1"}})
    assert answer.status_code == 201, answer.text
    found: str = answer.json()["id"]
    return found


def bound(output: str) -> dict[str, str]:
    return {"job_input_type": "literal", "value": f"${{{{parent.jobs.first.outputs.{output}}}}}"}


@pytest.mark.slow
def test_a_step_reads_the_artifacts_and_the_value_of_another(send: Send, server: LocalServer) -> None:
    first = component(
        send,
        "echo world > outputs/world.txt; printf 7 > ${{outputs.count}}",
        outputs={"artifacts": {"type": "uri_folder"}, "count": {"type": "integer"}},
    )
    second = component(
        send,
        "cat ${{inputs.given}}/outputs/world.txt; echo ${{inputs.times}}",
        inputs={"given": {"type": "uri_folder"}, "times": {"type": "integer", "max": "9"}},
    )
    name = f"p-{uuid4().hex[:10]}"
    jobs: dict[str, Any] = {
        "first": {"type": "command", "componentId": first},
        "second": {
            "type": "command",
            "componentId": second,
            "inputs": {"given": bound("artifacts"), "times": bound("count")},
        },
    }
    assert send("PUT", f"jobs/{name}", {"jobType": "Pipeline", "jobs": jobs}).status_code == 201
    assert ended(send, name)["status"] == "Completed"
    children = send("GET", f"runs/{name}/children", service=HISTORY).json()["value"]
    (reader,) = [run["runId"] for run in children if run["displayName"] == "second"]
    assert written(server, reader) == ["world", "7"]

    jobs["second"]["inputs"] = {"given": bound("count"), "times": bound("artifacts")}
    refused = send("PUT", f"jobs/{name}-2", {"jobType": "Pipeline", "jobs": jobs})
    assert refused.status_code == 400
    assert "input 'times' takes a integer, not the uri_folder that step 'first' writes" in refused.text


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"experimentName": "feature/my branch"}, "Experiment name must be 1-256 characters"),
        ({"experimentName": "with.dots"}, "Experiment name must be 1-256 characters"),
        ({"distribution": {"distributionType": "Ray"}}, "distribution of type ray"),
        (
            {"distribution": {"distributionType": "PyTorch", "processCountPerInstance": 0}},
            "must ask for 1 to 256 processes",
        ),
        (
            {"inputs": {"x": {"jobInputType": "mltable", "uri": DATA, "mode": "EvalMount"}}},
            "The mode EvalMount is none of those",
        ),
        (
            {"inputs": {"x": {"jobInputType": "uri_file", "uri": "https://example.org/d/iris.csv"}}},
            "- {from: 'https://example.org/d/', to: ./folder}",
        ),
        (
            {
                "inputs": {
                    "x": {"jobInputType": "uri_folder", "uri": "wasbs://c@account.blob.core.windows.net/d"}
                }
            },
            "- {from: 'wasbs://c@account.blob.core.windows.net/', to: ./folder}",
        ),
        ({"inputs": {"x": {"jobInputType": "uri_file", "uri": "https://[/x"}}}, "nothing is fetched"),
        ({"jobType": "Spark"}, "Jobs of type Spark are not run here"),
        (
            {"jobType": "Pipeline", "jobs": {"many": {"type": "parallel", "task": {}}}},
            "Step 'many': jobs of type parallel are not run here",
        ),
    ],
)
def test_what_is_not_done_is_refused(send: Send, properties: dict[str, Any], why: str) -> None:
    name = f"n-{uuid4().hex[:10]}"
    refused = send("PUT", f"jobs/{name}", {"jobType": "Command", "command": "true", **properties})
    assert refused.status_code == 400
    assert why in refused.json()["error"]["message"]


def test_the_log_of_a_job_that_is_over_at_once_is_printed(
    run: Any, ml_client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _ = run("echo as quick as that")
    ml_client.jobs.stream(name)
    assert "as quick as that" in capsys.readouterr().out
