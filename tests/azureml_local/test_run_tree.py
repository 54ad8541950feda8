"""The runs of a pipeline component: nested as a node, flat as a job, and how they end."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import mlflow
import pytest
import requests

from tests.conftest import LocalServer
from tests.support.waiting import PATIENCE, until

FINAL = {"Completed", "Failed", "Canceled"}
ENVIRONMENT = "azureml://registries/azureml/environments/any/versions/1"


def ended(client: Any, name: str) -> Any:
    return until(lambda: job if (job := client.jobs.get(name)).status in FINAL else None)


@pytest.fixture
def cluster(ml_client: Any) -> Iterator[str]:
    from azure.ai.ml.entities import AmlCompute

    name = f"tree-{uuid4().hex[:8]}"
    ml_client.compute.begin_create_or_update(AmlCompute(name=name, size="Standard_DS3_v2")).result()
    yield name
    ml_client.compute.begin_delete(name).result()


def wait_for(path: Path) -> str:
    """A command that ends when the file is there, or after a minute: a failed test leaves nothing behind."""
    return f"i=0; while [ ! -e {path} ] && [ $i -lt 1200 ]; do sleep 0.05; i=$((i+1)); done"


WRITE, READ = "echo first > ${{outputs.made}}/a.txt", "ls ${{inputs.given}}"


def two_steps(first: str = WRITE, second: str = READ) -> Any:
    """A pipeline component of two commands, of which the second reads what the first makes."""
    from azure.ai.ml import Input, Output, command, dsl

    write = command(
        name="write",
        command=f"echo {uuid4().hex}; {first}",  # its own, so that nothing is reused
        environment=ENVIRONMENT,
        outputs={"made": Output(type="uri_folder")},
    )
    read = command(
        name="read", command=second, environment=ENVIRONMENT, inputs={"given": Input(type="uri_folder")}
    )

    @dsl.pipeline(name="two_steps")
    def pair(word="none"):  # type: ignore[no-untyped-def]
        written = write()
        written.name = "first"
        reading = read(given=written.outputs.made)
        reading.name = "second"
        return {"made": written.outputs.made}

    return pair


def around(pair: Any, cluster: str) -> Any:
    from azure.ai.ml import dsl

    @dsl.pipeline(default_compute=cluster)
    def outer():  # type: ignore[no-untyped-def]
        node = pair(word="given")
        node.name = "node"
        return {"made": node.outputs.made}

    return outer()


def children(client: Any, run: str) -> list[Any]:
    """The runs right below one, as the service has them."""
    operations = client.jobs._runs_operations._operation
    scope = client.jobs._operation_scope
    return list(
        operations.get_child(scope.subscription_id, scope.resource_group_name, client.workspace_name, run)
    )


@pytest.mark.slow
def test_a_pipeline_component_is_a_step_with_a_pipeline_below_it(
    ml_client: Any, cluster: str, tmp_path: Path
) -> None:
    job = ml_client.jobs.create_or_update(around(two_steps(), cluster), experiment_name="tree")
    assert ended(ml_client, job.name).status == "Completed"
    (node,) = children(ml_client, job.name)
    (pipeline,) = children(ml_client, node.run_id)
    first, second = children(ml_client, pipeline.run_id)
    assert (node.run_type, node.properties["StepType"]) == ("azureml.StepRun", "SubGraphCloudStep")
    assert (pipeline.run_type, pipeline.properties["runSource"]) == ("azureml.PipelineRun", "SubGraphCloud")
    assert [step.properties["StepType"] for step in (first, second)] == ["PythonScriptStep"] * 2
    assert [step.display_name for step in (first, second)] == ["first", "second"]
    assert [run.status for run in (node, pipeline, first, second)] == ["Completed"] * 4
    assert [run.parent_run_id for run in (node, pipeline, first)] == [job.name, node.run_id, pipeline.run_id]
    assert {run.root_run_id for run in (node, pipeline, first, second)} == {job.name}
    assert children(ml_client, first.run_id) == []
    (listed,) = ml_client.jobs.list(parent_job_name=job.name)
    assert listed.display_name == "node"
    listed = list(ml_client.jobs.list(parent_job_name=pipeline.run_id))
    assert {child.display_name for child in listed} == {"first", "second"}
    ml_client.jobs.download(job.name, download_path=tmp_path, all=True)
    assert (tmp_path / "named-outputs" / "made" / "a.txt").read_text() == "first\n"
    ml_client.jobs.download(first.run_id, download_path=tmp_path / "first", output_name="made")
    assert (tmp_path / "first" / "named-outputs" / "made" / "a.txt").exists()


class Printed(io.StringIO):
    """What is printed; whoever waits for the file goes on once the reader has begun to follow."""

    def __init__(self, go: Path) -> None:
        super().__init__()
        self._go = go

    def flush(self) -> None:
        self._go.touch()


@pytest.mark.slow
def test_the_sdk_follows_a_nested_job(
    ml_client: Any, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    job = around(two_steps(second=f"{wait_for(go)}; {READ}"), cluster)
    job = ml_client.jobs.create_or_update(job, experiment_name="tree")
    printed = Printed(go)
    monkeypatch.setattr(sys, "stdout", printed)
    ml_client.jobs.stream(job.name)
    assert ml_client.jobs.get(job.name).status == "Completed"
    assert "node/first" in printed.getvalue()


@pytest.mark.slow
def test_a_job_that_is_the_component_has_its_steps_right_below(ml_client: Any, cluster: str) -> None:
    component = ml_client.components.create_or_update(two_steps()().component)
    job = component(word="given")
    job.settings.default_compute = cluster
    job = ml_client.jobs.create_or_update(job, experiment_name="tree")
    assert ended(ml_client, job.name).status == "Completed"
    assert job.properties["azureml.SourceComponentId"].endswith(
        f"/components/{component.name}/versions/{component.version}"
    )
    first, second = children(ml_client, job.name)
    assert [step.display_name for step in (first, second)] == ["first", "second"]
    assert first.parent_run_id == first.root_run_id == job.name


@pytest.mark.slow
def test_mlflow_has_the_whole_tree(ml_client: Any, cluster: str) -> None:
    job = ml_client.jobs.create_or_update(around(two_steps(), cluster), experiment_name="tree")
    ended(ml_client, job.name)
    mlflow.set_tracking_uri(ml_client.workspaces.get(ml_client.workspace_name).mlflow_tracking_uri)
    (node,) = children(ml_client, job.name)
    (pipeline,) = children(ml_client, node.run_id)
    parents = {node.run_id: job.name, pipeline.run_id: node.run_id}
    parents |= {step.run_id: pipeline.run_id for step in children(ml_client, pipeline.run_id)}
    for run, parent in parents.items():
        found = mlflow.get_run(run)
        assert found.data.tags["mlflow.parentRunId"] == parent
        assert found.data.tags["mlflow.rootRunId"] == job.name
        assert found.info.status == "FINISHED"


@pytest.mark.slow
def test_a_run_has_the_fields_that_were_seen(ml_client: Any, cluster: str) -> None:
    job = ml_client.jobs.create_or_update(around(two_steps(), cluster), experiment_name="tree")
    ended(ml_client, job.name)
    (node,) = children(ml_client, job.name)
    (pipeline,) = children(ml_client, node.run_id)
    first, _ = children(ml_client, pipeline.run_id)
    UUID(first.experiment_id)
    assert (first.name, first.display_name) == (first.properties["azureml.moduleName"], "first")
    assert first.name != "first"
    assert first.tags["azureml.pipeline"] == job.name
    assert first.tags["azureml.nodeid"] == first.properties["azureml.nodeid"]
    cluster_seen = json.loads(first.tags["_aml_system_ComputeTargetStatus"])
    assert cluster_seen["CurrentNodeCount"] == cluster_seen["RunningNodeCount"] == 1
    assert (first.compute.target, first.compute.target_type) == (cluster, "amlcompute")
    output = first.outputs["made"]
    assert output.type == "UriFolder"
    assert output.asset_id.endswith(f"/data/azureml_{first.run_id}_output_data_made/versions/1")
    assert first.duration.count(":") == 2


@pytest.mark.slow
def test_a_reused_step_shows_the_files_of_the_first(ml_client: Any, cluster: str) -> None:
    pair = two_steps()
    jobs = []
    for _ in range(2):
        job = ml_client.jobs.create_or_update(around(pair, cluster), experiment_name="tree")
        assert ended(ml_client, job.name).status == "Completed"
        (node,) = children(ml_client, job.name)
        (pipeline,) = children(ml_client, node.run_id)
        jobs.append((job.name, children(ml_client, pipeline.run_id)[0]))
    (root, first), (_, second) = jobs
    assert second.properties["azureml.reusedrunid"] == first.run_id
    assert second.properties["azureml.reusedpipeline"] == root
    assert second.properties["azureml.reusednodeid"] == first.properties["azureml.nodeid"]
    assert second.data_container_id == first.data_container_id == f"dcid.{first.run_id}"
    assert (second.compute, second.outputs, second.revision) == (None, None, 2)
    details = ml_client.jobs._runs_operations.get_run_details
    logs = [sorted(details(run.run_id).log_files) for run in (first, second)]
    assert logs[0] == logs[1] != []


@pytest.mark.slow
def test_a_failed_step_fails_all_above_it(ml_client: Any, cluster: str) -> None:
    job = ml_client.jobs.create_or_update(around(two_steps(first="false"), cluster), experiment_name="tree")
    assert ended(ml_client, job.name).status == "Failed"
    (node,) = children(ml_client, job.name)
    (pipeline,) = children(ml_client, node.run_id)
    assert [run.status for run in (node, pipeline)] == ["Failed"] * 2
    assert [run.status for run in children(ml_client, pipeline.run_id)] == ["Failed"]
    assert "node/first" in ml_client.jobs._runs_operations.get_run_details(node.run_id).error.error.message


@pytest.mark.slow
def test_cancelling_cancels_all_below(ml_client: Any, cluster: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    job = ml_client.jobs.create_or_update(
        around(two_steps(first=f"touch {begun}; sleep 600"), cluster), experiment_name="tree"
    )
    until(begun.exists)
    ml_client.jobs.begin_cancel(job.name).result()
    assert ended(ml_client, job.name).status == "Canceled"
    (node,) = children(ml_client, job.name)
    (pipeline,) = children(ml_client, node.run_id)
    runs = [node, pipeline, *children(ml_client, pipeline.run_id)]
    assert [run.status for run in runs] == ["Canceled"] * 3


@pytest.mark.slow
def test_the_page_shows_the_tree(ml_client: Any, cluster: str, server: LocalServer) -> None:
    job = ml_client.jobs.create_or_update(around(two_steps(), cluster), experiment_name="tree")
    ended(ml_client, job.name)
    secret = json.loads((server.state / "secrets.json").read_text())["admin"]
    with requests.Session() as session:
        session.verify, session.trust_env = server.environment["REQUESTS_CA_BUNDLE"], False
        session.get(f"{server.url}/?secret={secret}", timeout=PATIENCE)
        page = session.get(f"{server.url}/jobs/{job.name}", timeout=PATIENCE).text
        jobs = session.get(f"{server.url}/", timeout=PATIENCE).text
    runs = re.findall(r'<li class="depth-(\d)"><a href="/jobs/[^"]+">([^<]+)</a>', page)
    assert runs == [("0", "node"), ("1", "node"), ("2", "first"), ("2", "second")]
    assert "node/first: Completed" in page  # in the drawing, where only steps are
    assert page.count('class="node completed') == 2
    assert "2 of 2" in jobs
