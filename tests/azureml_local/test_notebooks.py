"""What Microsoft's example notebooks on data, models, components and pipelines do, step by step.

The steps are those of azureml-examples, sdk/python/assets (data, model, component) and of its pipelines of
components from YAML; scripts and files are our own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from azure.ai.ml import Input, Output, command, dsl, load_component
from azure.ai.ml.constants import AssetTypes
from azure.ai.ml.entities import AmlCompute, Data, Model
from azure.core.exceptions import ResourceNotFoundError

from tests.support.waiting import until

CURATED = "AzureML-sklearn-0.24-ubuntu18.04-py37-cpu:9"  # as old notebooks name one
OF_REGISTRY = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
PEOPLE = "name,age\nann,31\nbob,46\n"
COUNT = """import sys
from pathlib import Path
lines = Path(sys.argv[1]).read_text().splitlines()
print(f"rows: {len(lines) - 1}")
if len(sys.argv) > 2:
    (Path(sys.argv[2]) / "count.txt").write_text(str(len(lines) - 1))
"""
STEP = """
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: {name}
version: "1"
type: command
inputs:
  given: {{type: {given}}}
outputs:
  made: {{type: uri_folder}}
code: ./src
environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
command: {command}
"""

Completed = Callable[[Any], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A notebook's folder: data, and the code of its jobs."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "count.py").write_text(COUNT)
    (tmp_path / "people.csv").write_text(PEOPLE)
    return tmp_path


@pytest.fixture
def completed(ml_client: Any) -> Completed:
    """Submits a job and returns it once it has completed."""

    def submit(job: Any) -> Any:
        name = ml_client.create_or_update(job).name
        until(lambda: ml_client.jobs.get(name).status in ("Completed", "Failed", "Canceled"))
        found = ml_client.jobs.get(name)
        assert found.status == "Completed"
        return found

    return submit


@pytest.fixture
def cluster(ml_client: Any) -> str:
    """The cluster of most notebooks, which is there from the second one on."""
    made = AmlCompute(name="cpu-cluster", size="STANDARD_DS3_V2", min_instances=0, max_instances=4)
    return str(ml_client.begin_create_or_update(made).result().name)


def counting(folder: Path, arguments: str, **more: Any) -> Any:
    """The job of a notebook that counts the rows of a file."""
    return command(code=str(folder / "src"), command=f"python count.py {arguments}", **more)


def log_of(ml_client: Any, job: Any, folder: Path) -> str:
    ml_client.jobs.download(job.name, download_path=folder / "log")
    return (folder / "log" / "artifacts" / "user_logs" / "std_log.txt").read_text()


@pytest.mark.slow
def test_data_is_read_from_this_machine_and_written_to_an_address(
    ml_client: Any, completed: Completed, cluster: str, folder: Path
) -> None:
    place = (
        f"azureml://subscriptions/{ml_client.subscription_id}/resourcegroups/{ml_client.resource_group_name}"
        f"/workspaces/{ml_client.workspace_name}/datastores/workspaceblobstore/paths/{uuid4().hex}/"
    )
    job = completed(
        counting(
            folder,
            "${{inputs.input_data}} ${{outputs.output_folder}}",
            inputs={"input_data": Input(type=AssetTypes.URI_FILE, path=str(folder / "people.csv"))},
            outputs={"output_folder": Output(type=AssetTypes.URI_FOLDER, path=place)},
            environment=CURATED,
            compute=cluster,
        )
    )
    assert job.studio_url
    again = Data(name=f"counted-{uuid4().hex[:8]}", path=f"{place}count.txt", type=AssetTypes.URI_FILE)
    found = ml_client.data.create_or_update(again)
    read = command(
        command="cat ${{inputs.count}}",
        inputs={"count": Input(type=AssetTypes.URI_FILE, path=found.id)},
        environment=OF_REGISTRY,
        compute=cluster,
    )
    assert log_of(ml_client, completed(read), folder) == "2"


@pytest.mark.slow
def test_a_data_asset_is_made_where_it_is_missing_and_read_by_its_id(
    ml_client: Any, completed: Completed, cluster: str, folder: Path
) -> None:
    name = f"people-{uuid4().hex[:8]}"
    with pytest.raises(ResourceNotFoundError):
        ml_client.data.get(name=name, version="1")
    ml_client.data.create_or_update(
        Data(name=name, version="1", path=str(folder / "people.csv"), type=AssetTypes.URI_FILE)
    )
    asset = ml_client.data.get(name=name, version="1")
    job = counting(
        folder,
        "${{inputs.input_data}}",
        inputs={"input_data": Input(type=AssetTypes.URI_FILE, path=asset.id)},
        environment=CURATED,
        compute=cluster,
    )
    assert log_of(ml_client, completed(job), folder) == "rows: 2\n"


@pytest.mark.slow
def test_a_model_comes_from_a_file_a_folder_an_address_and_a_job(
    ml_client: Any, completed: Completed, cluster: str, folder: Path
) -> None:
    (folder / "model").mkdir()
    (folder / "model" / "MLmodel").write_text("flavors: {python_function: {loader_module: none}}\n")
    (folder / "model" / "model.pkl").write_bytes(b"weights")

    def registered(kind: str, path: str) -> Any:
        return ml_client.models.create_or_update(Model(name=f"m-{uuid4().hex[:8]}", path=path, type=kind))

    of_file = registered(AssetTypes.CUSTOM_MODEL, str(folder / "model" / "model.pkl"))
    of_address = registered(AssetTypes.CUSTOM_MODEL, of_file.path)
    of_folder = registered(AssetTypes.MLFLOW_MODEL, str(folder / "model"))
    writes = command(
        command="mkdir -p outputs/model && cp -r ${{inputs.input_model}}/. outputs/model"
        " && cp -r ${{inputs.input_model}}/. ${{outputs.custom_model_output}}",
        inputs={"input_model": Input(type=AssetTypes.MLFLOW_MODEL, path=of_folder.id)},
        outputs={"custom_model_output": Output(type=AssetTypes.CUSTOM_MODEL)},
        environment=OF_REGISTRY,
        compute=cluster,
    )
    job = completed(writes)
    artifacts = f"azureml://jobs/{job.name}/outputs/artifacts/paths/outputs/model/"
    of_job = registered(AssetTypes.MLFLOW_MODEL, artifacts)
    of_output = registered(AssetTypes.CUSTOM_MODEL, f"azureml://jobs/{job.name}/outputs/custom_model_output")
    for number, model in enumerate((of_file, of_address, of_folder, of_job, of_output)):
        ml_client.models.download(model.name, version=model.version, download_path=folder / str(number))
        (weights,) = (folder / str(number)).rglob("model.pkl")
        assert weights.read_bytes() == b"weights"


@pytest.mark.slow
def test_components_from_yaml_are_registered_once_and_make_a_pipeline(
    ml_client: Any, completed: Completed, cluster: str, folder: Path
) -> None:
    steps = {
        "count": ("uri_file", "python count.py ${{inputs.given}} ${{outputs.made}}"),
        "copy": ("uri_folder", "cp ${{inputs.given}}/count.txt ${{outputs.made}}/copied.txt"),
    }
    for name, (given, does) in steps.items():
        full = f"{name}_{uuid4().hex[:8]}"
        (folder / f"{name}.yml").write_text(STEP.format(name=full, given=given, command=does))

    def registered(name: str) -> Any:
        component = load_component(source=folder / f"{name}.yml")
        try:
            return ml_client.components.get(name=component.name, version=component.version)
        except ResourceNotFoundError:
            return ml_client.components.create_or_update(component)

    count, copy = registered("count"), registered("copy")
    assert registered("count").id == count.id
    ml_client.components.archive(name=count.name)
    ml_client.components.restore(name=count.name)
    result = f"counted-{uuid4().hex[:8]}"

    @dsl.pipeline(default_compute=cluster)
    def counted(people):  # type: ignore[no-untyped-def] # the SDK cannot read annotations that are text
        counting = count(given=people)
        copying = copy(given=counting.outputs.made)
        return {"result": copying.outputs.made}

    job = counted(people=Input(type=AssetTypes.URI_FILE, path=str(folder / "people.csv")))
    job.outputs.result = Output(type=AssetTypes.URI_FOLDER, name=result, version="1")
    done = completed(job)
    names = {child.display_name for child in ml_client.jobs.list(parent_job_name=done.name)}
    assert names == {"counting", "copying"}
    ml_client.jobs.download(done.name, output_name="result", download_path=folder / "got")
    assert (folder / "got" / "named-outputs" / "result" / "copied.txt").read_text() == "2"
    assert ml_client.data.get(name=result, version="1").type == AssetTypes.URI_FOLDER
