"""Jobs through the real SDK: command and pipeline jobs, their logs, outputs, metrics, failures and ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import LetFail, LocalServer
from tests.support.processes import runs
from tests.support.waiting import PATIENCE, until

TERMINAL = {"Completed", "Failed", "Canceled"}


def ended(client: Any, name: str) -> Any:
    return until(lambda: job if (job := client.jobs.get(name)).status in TERMINAL else None)


@pytest.fixture
def cluster(ml_client: Any) -> Iterator[str]:
    """A cluster of two nodes, its own for each test."""
    from azure.ai.ml.entities import AmlCompute

    name = f"cpu-{uuid4().hex[:8]}"
    ml_client.compute.begin_create_or_update(
        AmlCompute(name=name, size="Standard_DS3_v2", max_instances=2)
    ).result()
    yield name
    ml_client.compute.begin_delete(name).result()  # its cores count against the quota


def step(command: str, **kwargs: Any) -> Any:
    """An inline command component; its environment is never looked at, for the node is this machine."""
    from azure.ai.ml import command as build

    return build(
        command=command, environment="azureml://registries/azureml/environments/any/versions/1", **kwargs
    )


def wait_for(path: object) -> str:
    """A command that ends when the file is there, or after a minute: a failed test leaves nothing behind."""
    return f"i=0; while [ ! -e {path} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done"


def submit(client: Any, cluster: str, command: str, **kwargs: Any) -> Any:
    return client.jobs.create_or_update(step(command, compute=cluster, experiment_name="tests", **kwargs))


def log_of(server: LocalServer, name: str) -> str:
    path = server.state / "blobs" / "azureml" / "ExperimentRun" / f"dcid.{name}" / "user_logs" / "std_log.txt"
    return path.read_text() if path.exists() else ""


@pytest.mark.slow
def test_command_job_from_code_to_outputs(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    from azure.ai.ml import Input, Output

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "main.py").write_text(
        "import pathlib, sys\n"
        "data, times, target = sys.argv[1:]\n"
        "print('working', flush=True)\n"
        "pathlib.Path(target, 'made.txt').write_text(pathlib.Path(data).read_text() * int(times))\n"
    )
    (tmp_path / "data.txt").write_text("ab")
    job = submit(
        ml_client,
        cluster,
        "python main.py ${{inputs.data}} ${{inputs.times}} ${{outputs.made}}",
        code=str(tmp_path / "code"),
        inputs={"data": Input(type="uri_file", path=str(tmp_path / "data.txt")), "times": 3},
        outputs={"made": Output(type="uri_folder")},
    )
    assert job.status == "NotStarted"
    ml_client.jobs.stream(job.name)
    done = ml_client.jobs.get(job.name)
    assert done.status == "Completed"
    assert done.outputs["made"].path.startswith("azureml://datastores/workspaceblobstore/paths/azureml/")
    ml_client.jobs.download(job.name, download_path=tmp_path / "all", all=True)
    assert (tmp_path / "all" / "named-outputs" / "made" / "made.txt").read_text() == "ababab"
    assert (tmp_path / "all" / "artifacts" / "user_logs" / "std_log.txt").read_text() == "working\n"


def test_log_can_be_read_while_it_grows(
    ml_client: Any, cluster: str, server: LocalServer, tmp_path: Path
) -> None:
    import requests

    go = tmp_path / "go"
    job = submit(ml_client, cluster, f"echo first; {wait_for(go)}; echo second")

    def url() -> str | None:
        details = ml_client.jobs._runs_operations.get_run_details(job.name)
        found: str | None = (details.log_files or {}).get("user_logs/std_log.txt")
        return found

    address = until(url)
    bundle = server.environment["REQUESTS_CA_BUNDLE"]
    until(lambda: requests.get(address, verify=bundle, timeout=PATIENCE).text == "first\n")
    assert ml_client.jobs.get(job.name).status == "Running"
    go.touch()
    ended(ml_client, job.name)
    assert requests.get(address, verify=bundle, timeout=PATIENCE).text == "first\nsecond\n"


@pytest.mark.slow
def test_what_is_written_to_outputs_and_logs_is_kept(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    from azure.ai.ml.entities import Model

    (tmp_path / "code" / "outputs").mkdir(parents=True)
    (tmp_path / "code" / "outputs" / "shipped.txt").write_text("shipped")
    write = "mkdir -p outputs/model && echo w > outputs/model/w.txt && echo l > logs/l.txt; exit 3"
    job = submit(ml_client, cluster, write, code=str(tmp_path / "code"))
    assert ended(ml_client, job.name).status == "Failed"
    ml_client.jobs.download(job.name, download_path=tmp_path)
    found = {str(p.relative_to(tmp_path / "artifacts")) for p in (tmp_path / "artifacts").rglob("*.txt")}
    assert found == {"outputs/shipped.txt", "outputs/model/w.txt", "logs/l.txt", "user_logs/std_log.txt"}
    address = f"azureml://jobs/{job.name}/outputs/artifacts/paths/outputs/model"
    model = ml_client.models.create_or_update(Model(name=f"kept-{uuid4().hex[:8]}", path=address))
    ml_client.models.download(model.name, version=model.version, download_path=tmp_path)
    assert (tmp_path / model.name / "model" / "w.txt").read_text() == "w\n"


def two_steps(cluster: str, first: str, second: str = "cat ${{inputs.text}} > ${{outputs.made}}") -> Any:
    from azure.ai.ml import Input, Output, dsl

    write = step(
        first, name="write", inputs={"word": Input(type="string")}, outputs={"text": Output(type="uri_file")}
    )
    copy = step(
        second,
        name="copy",
        inputs={"text": Input(type="uri_file")},
        outputs={"made": Output(type="uri_file")},
    )

    @dsl.pipeline(default_compute=cluster)
    def pipeline(word):  # type: ignore[no-untyped-def]
        written = write(word=word)
        written.name = "write"
        copied = copy(text=written.outputs.text)
        copied.name = "copy"
        return {"result": copied.outputs.made}

    return pipeline


WRITE = "echo ${{inputs.word}} > ${{outputs.text}}; echo ran"


def children(client: Any, name: str) -> dict[str, Any]:
    return {child.display_name: child for child in client.jobs.list(parent_job_name=name)}


@pytest.mark.slow
def test_pipeline_passes_outputs_on(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    job = two_steps(cluster, WRITE)(word=uuid4().hex)
    job = ml_client.jobs.create_or_update(job, experiment_name="tests")
    assert ended(ml_client, job.name).status == "Completed"
    found = children(ml_client, job.name)
    assert {name: child.status for name, child in found.items()} == {
        "write": "Completed",
        "copy": "Completed",
    }
    ml_client.jobs.download(job.name, download_path=tmp_path, output_name="result")
    assert len([*(tmp_path / "named-outputs" / "result").iterdir()]) == 1


def test_named_output_becomes_an_asset(ml_client: Any, cluster: str) -> None:
    from azure.ai.ml import Output

    name = f"made-{uuid4().hex[:8]}"
    for version in ("1", "2"):
        job = submit(
            ml_client,
            cluster,
            "echo text > ${{outputs.made}}/a.txt",
            outputs={"made": Output(type="uri_folder", name=name)},
        )
        assert ended(ml_client, job.name).status == "Completed"
        assert f"/azureml/{job.name}/made" in ml_client.data.get(name, version=version).path


@pytest.mark.slow
def test_named_outputs_of_steps_become_assets_also_when_reused(ml_client: Any, cluster: str) -> None:
    from azure.ai.ml import Output, dsl

    write = step(
        "echo text > ${{outputs.made}}/a.txt; echo {} > ${{outputs.tuned}}/a.json",
        outputs={"made": Output(type="uri_folder"), "tuned": Output(type="custom_model")},
    )
    name = f"made-{uuid4().hex[:8]}"

    def run(version: str) -> dict[str, Any]:
        @dsl.pipeline(default_compute=cluster)
        def pipeline():  # type: ignore[no-untyped-def]
            written = write()
            written.name = "write"
            written.outputs.made = Output(type="uri_folder", name=name, version=version)
            written.outputs.tuned = Output(type="custom_model", name=name)

        job = ml_client.jobs.create_or_update(pipeline(), experiment_name="tests")
        ended(ml_client, job.name)
        return children(ml_client, job.name)

    first, second = run("4")["write"], run("5")["write"]
    assert (first.status, second.properties["azureml.isreused"]) == ("Completed", "true")
    for version in ("4", "5"):
        assert ml_client.data.get(name, version=version).path.endswith(f"/azureml/{first.name}/made/")
    for version in ("1", "2"):
        assert ml_client.models.get(name, version=version).path.endswith(f"/azureml/{first.name}/tuned")


@pytest.mark.slow
def test_an_output_does_not_take_the_place_of_another(ml_client: Any, cluster: str) -> None:
    from azure.ai.ml import Output

    taken = Output(type="uri_folder", name=f"made-{uuid4().hex[:8]}", version="1")
    jobs = [submit(ml_client, cluster, "echo ${{outputs.made}}", outputs={"made": taken})]
    assert ended(ml_client, jobs[0].name).status == "Completed"
    jobs += [submit(ml_client, cluster, "echo ${{outputs.made}}", outputs={"made": taken})]
    assert ended(ml_client, jobs[1].name).status == "Failed"
    error = ml_client.jobs._runs_operations.get_run_details(jobs[1].name).error.error
    assert f"Version 1 of {taken.name} exists already" in error.message
    assert f"/azureml/{jobs[0].name}/made" in ml_client.data.get(taken.name, version="1").path


@pytest.mark.parametrize(
    ("inputs", "runs_in", "complaint"),
    [
        ({"x": ("uri_file", "azureml:nothing:1")}, None, "The asset data/nothing:1 does not exist"),
        ({"x": ("uri_file", "azureml://jobs/none/outputs/made")}, None, "The job none does not exist"),
        (
            {"x": ("mlflow_model", "azureml://registries/azureml/models/nothing/versions/1")},
            None,
            "The registry has no model nothing of version 1",
        ),
        ({}, "azureml:nothing:7", "No environment exists for name: nothing, version: 7"),
    ],
)
def test_what_is_not_there_is_refused_at_once(
    ml_client: Any,
    cluster: str,
    inputs: dict[str, tuple[str, str]],
    runs_in: str | None,
    complaint: str,
) -> None:
    from azure.ai.ml import Input
    from azure.core.exceptions import HttpResponseError

    given = {name: Input(type=kind, path=path) for name, (kind, path) in inputs.items()}
    job = step(
        "echo " + " ".join(f"${{{{inputs.{name}}}}}" for name in inputs), compute=cluster, inputs=given
    )
    job.environment = runs_in or job.environment
    with pytest.raises(HttpResponseError, match=complaint) as caught:
        ml_client.jobs.create_or_update(job)
    assert caught.value.status_code == 400


def test_a_model_output_is_downloaded(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    from azure.ai.ml import Output

    job = submit(
        ml_client,
        cluster,
        "echo {} > ${{outputs.tuned}}/model.json",
        outputs={"tuned": Output(type="custom_model")},
    )
    assert ended(ml_client, job.name).status == "Completed"
    ml_client.jobs.download(job.name, download_path=tmp_path, output_name="tuned")
    ml_client.jobs.download(job.name, download_path=tmp_path / "all", all=True)
    for folder in (tmp_path, tmp_path / "all"):
        assert (folder / "named-outputs" / "tuned" / "model.json").read_text() == "{}\n"


def test_preempted_step_begins_again(
    ml_client: Any, cluster: str, server: LocalServer, let_fail: LetFail
) -> None:
    # Three times a second each: on a busy machine the mark may not be there after the first.
    let_fail({"kind": "preemption", "path": "/jobs/*", "seconds": 1, "count": 3})
    job = submit(
        ml_client,
        cluster,
        "echo began; ls $AZUREML_LOCAL_CHECKPOINTS; "
        "if [ -e $AZUREML_LOCAL_CHECKPOINTS/mark ]; then exit 0; fi; "
        "touch $AZUREML_LOCAL_CHECKPOINTS/mark; sleep 600",
    )
    assert ended(ml_client, job.name).status == "Completed"
    assert log_of(server, job.name).splitlines()[-2:] == ["began", "mark"]


@pytest.mark.slow
def test_equal_steps_are_reused_unless_forced(ml_client: Any, cluster: str, server: LocalServer) -> None:
    word = uuid4().hex

    def run(force: bool) -> dict[str, Any]:
        pipeline = two_steps(cluster, WRITE)(word=word)
        pipeline.settings.force_rerun = force
        job = ml_client.jobs.create_or_update(pipeline, experiment_name="tests")
        assert ended(ml_client, job.name).status == "Completed"
        return children(ml_client, job.name)

    first, second, third = run(False), run(False), run(True)
    assert second["write"].properties["azureml.isreused"] == "true"
    assert second["write"].properties["azureml.reusedrunid"] == first["write"].name
    assert log_of(server, second["write"].name) == ""
    assert "azureml.isreused" not in third["write"].properties
    assert log_of(server, third["write"].name) == "ran\n"


CHECKED = """
type: command
name: checked
version: "VERSION"
inputs:
  rate: {type: number}
  epochs: {type: integer, min: 1, max: 5, default: 2}
  precision: {type: string, enum: ["16", "32"], default: "32", optional: true}
  note: {type: string, optional: true}
command: echo ${{inputs.rate}} ${{inputs.epochs}} $[[${{inputs.precision}}]] $[[note ${{inputs.note}}]]
environment: azureml://registries/azureml/environments/any/versions/1
"""


@pytest.mark.slow
def test_inputs_are_checked_and_defaults_taken(
    ml_client: Any, cluster: str, server: LocalServer, tmp_path: Path
) -> None:
    from azure.ai.ml import dsl, load_component
    from azure.core.exceptions import HttpResponseError

    (tmp_path / "checked.yaml").write_text(CHECKED.replace("VERSION", uuid4().hex[:8]))
    component = ml_client.components.create_or_update(load_component(str(tmp_path / "checked.yaml")))

    def submit_with(**inputs: Any) -> Any:
        @dsl.pipeline(default_compute=cluster)  # type: ignore[untyped-decorator]
        def pipeline() -> None:
            component(**inputs).name = "checked"

        return ml_client.jobs.create_or_update(pipeline(), experiment_name="tests")

    for inputs, complaint in (
        ({"rate": "fast"}, "'rate' must be of type number, not 'fast'"),
        ({"rate": 1, "epochs": 6}, "'epochs' must be at most 5, not 6"),
        ({"rate": 1, "precision": "8"}, "'precision' must be one of 16, 32, not '8'"),
    ):
        with pytest.raises(HttpResponseError, match=complaint) as caught:
            submit_with(**inputs)
        assert caught.value.status_code == 400
    job = submit_with(rate=0.5)
    assert ended(ml_client, job.name).status == "Completed"
    (child,) = children(ml_client, job.name).values()
    assert log_of(server, child.name) == "0.5 2 32\n"


def test_failed_step_says_why(ml_client: Any, cluster: str) -> None:
    from azure.ai.ml.exceptions import JobException

    job = two_steps(cluster, "python -c 'raise ValueError(\"no such luck\")'")(word="x")
    job = ml_client.jobs.create_or_update(job, experiment_name="tests")
    with pytest.raises(JobException, match="no such luck"):
        ml_client.jobs.stream(job.name)
    assert ml_client.jobs.get(job.name).status == "Failed"
    found = children(ml_client, job.name)
    assert {name: child.status for name, child in found.items()} == {"write": "Failed"}
    error = ml_client.jobs._runs_operations.get_run_details(found["write"].name).error.error
    assert error.code == "UserError"
    assert error.message.endswith("ValueError: no such luck")
    assert "exited with status code 1" in error.message


@pytest.mark.parametrize("continues", [False, True])
def test_continue_on_step_failure(ml_client: Any, cluster: str, tmp_path: Path, continues: bool) -> None:
    from azure.ai.ml import dsl

    go = tmp_path / "go"
    broken = step("exit 3")
    patient = step(wait_for("${{inputs.path}}"), inputs={"path": ""})

    @dsl.pipeline(default_compute=cluster)
    def pipeline():  # type: ignore[no-untyped-def]
        first = broken()
        first.name = "broken"
        second = patient(path=str(go))
        second.name = "patient"

    job = pipeline()
    job.settings.continue_on_step_failure = continues
    job = ml_client.jobs.create_or_update(job, experiment_name="tests")
    until(lambda: (step := children(ml_client, job.name).get("broken")) and step.status == "Failed")
    if continues:
        go.touch()
    assert ended(ml_client, job.name).status == "Failed"
    assert children(ml_client, job.name)["patient"].status == ("Completed" if continues else "Canceled")


def test_cancel_ends_the_processes(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    job = two_steps(cluster, f"sleep 600 & echo $! > {pid}.new; mv {pid}.new {pid}; wait")(word="x")
    job = ml_client.jobs.create_or_update(job, experiment_name="tests")
    until(pid.exists)
    ml_client.jobs.begin_cancel(job.name).result()
    assert ended(ml_client, job.name).status == "Canceled"
    assert [child.status for child in children(ml_client, job.name).values()] == ["Canceled"]
    assert not runs(int(pid.read_text()))
    ml_client.jobs.begin_cancel(job.name).result()  # as the service: no complaint about one that has ended


def test_time_out(ml_client: Any, cluster: str) -> None:
    from azure.ai.ml.entities import CommandJobLimits

    command = step("sleep 600", compute=cluster, experiment_name="tests")
    command.limits = CommandJobLimits(timeout=1)
    job = ml_client.jobs.create_or_update(command)
    assert ended(ml_client, job.name).status == "Failed"
    error = ml_client.jobs._runs_operations.get_run_details(job.name).error.error
    assert "time-out of 1 second" in error.message


@pytest.mark.slow
def test_a_cluster_runs_no_more_than_its_nodes(
    ml_client: Any, cluster: str, server: LocalServer, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    jobs = [submit(ml_client, cluster, wait_for(go)) for _ in range(3)]

    def states() -> list[str]:
        return sorted(ml_client.jobs.get(job.name).status for job in jobs)

    until(lambda: states() == ["Queued", "Running", "Running"])
    rows = [row for row in server.admin("ledger")["rows"] if row["name"] == cluster]
    assert [row["running"] for row in rows] == [True, True]
    go.touch()
    for job in jobs:
        assert ended(ml_client, job.name).status == "Completed"
    rows = [row for row in server.admin("ledger")["rows"] if row["name"] == cluster]
    assert [(row["running"], row["idle"]) for row in rows] == [(False, True)] * 2


@pytest.mark.slow
def test_an_existing_job_cannot_be_changed_but_for_its_labels(ml_client: Any, cluster: str) -> None:
    from azure.core.exceptions import HttpResponseError

    name = f"job-{uuid4().hex}"
    submit(ml_client, cluster, "true", name=name)
    with pytest.raises(HttpResponseError, match="cannot be changed") as caught:
        submit(ml_client, cluster, "false", name=name)
    assert caught.value.status_code == 400
    ended(ml_client, name)
    assert ml_client.jobs.update(name, tags={"a": "b"}, display_name="shown").tags == {"a": "b"}
    assert ml_client.jobs.get(name).display_name == "shown"
    # The newest come first. The SDK takes 0.03 s of the processor for each job of a list.
    ml_client.jobs.archive(name)
    assert name not in [job.name for job in ml_client.jobs.list(max_results=3)]
    ml_client.jobs.restore(name)
    assert name in [job.name for job in ml_client.jobs.list(max_results=3)]


def test_bad_submissions_are_refused_in_one_line(ml_client: Any, cluster: str, server: LocalServer) -> None:
    import requests

    token = ml_client._credential.get_token(server.url + "/.default").token
    url = f"{server.url}{ml_client.workspaces.get('local').id}/jobs/{{}}?api-version=2024-04-01"

    def put(name: str, properties: Any) -> requests.Response:
        return requests.put(
            url.format(name),
            json={"properties": properties},
            headers={"Authorization": f"Bearer {token}"},
            verify=server.environment["REQUESTS_CA_BUNDLE"],
            timeout=PATIENCE,
        )

    command = {"jobType": "Command", "command": "true", "environmentId": "e", "computeId": cluster}
    for name, properties, complaint in (
        ("..", command, ""),
        ("-x", command, "The job name"),
        ("x1", {**command, "jobType": "AutoML"}, "Jobs of type AutoML"),
        ("x2", {**command, "computeId": "nowhere"}, "'nowhere' does not exist"),
        ("x3", {**command, "limits": {"timeout": "soon"}}, "not a duration"),
        ("x4", {**command, "inputs": []}, "inputs"),
        ("x5", {"jobType": "Pipeline", "jobs": {"a": 1}}, "a"),
        ("x6", {"jobType": "Pipeline", "jobs": {"a": {"componentId": "azureml:none:1"}}}, "none:1"),
        ("x7", {**command, "inputs": {"a": {"uri": 1, "jobInputType": []}}}, "must be text"),
        ("x8", {**command, "resources": {"instanceCount": "many"}}, "instance count"),
    ):
        answer = put(name, properties)
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
        assert complaint in answer.json()["error"]["message"]


METRICS = """
import mlflow, os
with mlflow.start_run():
    for number in range(3):
        mlflow.log_metric("loss", 3.0 - number, step=number)
    mlflow.log_param("rate", "0.1")
    mlflow.log_text("a note", "notes/note.txt")
    with mlflow.start_run(nested=True, run_name="fold"):
        mlflow.log_metric("fold", 1.0)
mlflow.MlflowClient().log_metric(os.environ["AZUREML_ROOT_RUN_ID"], "loss", 1.0)
"""


@pytest.fixture
def clouds_of_mlflow(ml_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let azureml-mlflow know this server's cloud.

    It asks ARM_CLOUD_METADATA_URL once, when it is first imported: in a process that has imported it for
    another test's server, or for none, this one's cloud is unknown.
    """
    from azureml.mlflow._common._cloud import cloud

    monkeypatch.setattr(cloud, "KNOWN_CLOUDS", cloud.get_known_clouds())


@pytest.mark.slow
@pytest.mark.usefixtures("clouds_of_mlflow")
def test_metrics_and_artifacts_through_azureml_mlflow(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    import mlflow
    from azure.ai.ml import dsl

    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "log.py").write_text(METRICS)
    log = step("python log.py", code=str(tmp_path / "code"), display_name="log")

    @dsl.pipeline(default_compute=cluster)
    def pipeline():  # type: ignore[no-untyped-def]
        log()

    experiment = f"exp-{uuid4().hex[:8]}"
    job = ml_client.jobs.create_or_update(pipeline(), experiment_name=experiment)
    done = ended(ml_client, job.name)
    assert done.status == "Completed", ml_client.jobs._runs_operations.get_run_details(job.name).error
    (child,) = children(ml_client, job.name).values()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(ml_client.workspaces.get("local").mlflow_tracking_uri)
    try:
        assert mlflow.get_run(job.name).data.metrics == {"loss": 1.0}
        runs = mlflow.search_runs(
            experiment_names=[experiment],
            filter_string=f"tags.mlflow.rootRunId = '{job.name}'",
            output_format="list",
        )
        names = {run.data.tags["mlflow.runName"]: run.info.run_id for run in runs}
        fold = names.pop("fold")
        assert set(names.values()) == {job.name, child.name}
        assert mlflow.get_run(fold).data.tags["mlflow.parentRunId"] == child.name
        assert {run.info.status for run in runs} == {"FINISHED"}
        run = mlflow.get_run(child.name)
        assert run.data.params == {"rate": "0.1"}
        assert run.data.tags["mlflow.parentRunId"] == job.name
        client = mlflow.MlflowClient()
        history = client.get_metric_history(child.name, "loss")
        assert [(m.step, m.value) for m in history] == [(0, 3.0), (1, 2.0), (2, 1.0)]
        assert [a.path for a in client.list_artifacts(child.name)] == ["notes", "user_logs"]
        note = mlflow.artifacts.download_artifacts(
            run_id=child.name, artifact_path="notes/note.txt", dst_path=str(tmp_path)
        )
        assert Path(note).read_text() == "a note"
    finally:
        mlflow.set_tracking_uri(before)


def test_the_node_is_a_machine_of_its_own(
    ml_client: Any, cluster: str, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit(ml_client, cluster, "env | sort; pwd", environment_variables={"MINE": "yes"})
    ended(ml_client, job.name)
    log = log_of(server, job.name)
    variables = dict(line.split("=", 1) for line in log.splitlines() if "=" in line)
    assert variables["MINE"] == "yes"
    assert variables["AZUREML_RUN_ID"] == variables["MLFLOW_RUN_ID"] == job.name
    assert "IDENTITY_HEADER" not in variables
    assert variables["PWD"] != os.getcwd()


def test_a_serverless_job_runs_on_machines_of_its_size_if_there_is_one(
    ml_client: Any, server: LocalServer
) -> None:
    from azure.core.exceptions import HttpResponseError

    job = ml_client.jobs.create_or_update(step("true", instance_type="Standard_NC6s_v3"))
    assert ended(ml_client, job.name).status == "Completed"
    (row,) = (row for row in server.admin("ledger")["rows"] if row["owner"] == job.name)
    assert (row["name"], row["vmSize"]) == ("serverless", "Standard_NC6s_v3")
    with pytest.raises(HttpResponseError, match="Standard_Imaginary_v9.* is not offered"):
        ml_client.jobs.create_or_update(step("true", instance_type="Standard_Imaginary_v9"))
