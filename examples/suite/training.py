"""What a team has of its own: the code under test, which knows nothing of where it runs."""

from __future__ import annotations

from pathlib import Path

from azure.ai.ml import Input, MLClient, Output, command
from azure.ai.ml.entities import AmlCompute, Command, Data, Job, Model
from azure.core.exceptions import ResourceNotFoundError

ENVIRONMENT = "azureml://registries/azureml/environments/sklearn-1.5/versions/1"


def cluster(client: MLClient, name: str = "cpu") -> AmlCompute:
    """The team's cluster, made where there is none."""
    try:
        return client.compute.get(name)
    except ResourceNotFoundError:
        wanted = AmlCompute(name=name, size="Standard_DS3_v2", min_instances=0, max_instances=2)
        return client.compute.begin_create_or_update(wanted).result()


def share(client: MLClient, file: Path) -> Data:
    """A version of the data asset `numbers`; the same content is one version."""
    known = {data.tags.get("size"): data for data in client.data.list(name="numbers")}
    size = str(file.stat().st_size)
    return known.get(size) or client.data.create_or_update(
        Data(name="numbers", path=str(file), type="uri_file", tags={"size": size})
    )


def summing(data: Data) -> Command:
    """A job that adds the numbers up and writes their sum to its output."""
    return command(
        command="awk '{ n += $1 } END { print n }' ${{inputs.numbers}} > ${{outputs.total}}/total.txt",
        inputs={"numbers": Input(type="uri_file", path=data.id)},
        outputs={"total": Output(type="uri_folder")},
        environment=ENVIRONMENT,
        experiment_name="totals",
    )


def finished(client: MLClient, job: Command) -> Job:
    """Submit the job and wait for its end; what it prints is shown."""
    submitted = client.jobs.create_or_update(job)
    client.jobs.stream(submitted.name)
    return client.jobs.get(submitted.name)


def promote(client: MLClient, name: str, path: str) -> Model:
    """A version of the model that nobody promotes twice: the tag says which is the newest."""
    for old in client.models.list(name=name):
        if old.tags.get("stage") == "newest":
            old.tags = {**old.tags, "stage": "old"}
            client.models.create_or_update(old)
    return client.models.create_or_update(Model(name=name, path=path, tags={"stage": "newest"}))
