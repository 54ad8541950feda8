"""The job: what it gives, and what the project makes of it. It runs once, and its tests begin at its end."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.ai.ml.entities import Data
from azure.core.exceptions import HttpResponseError
from training import promote, share, summing

from azureml_local import LocalWorkspace


def test_the_job_completes(after_the_job: str, azureml_client: MLClient) -> None:
    assert azureml_client.jobs.get(after_the_job).status == "Completed"


def test_the_job_writes_the_sum(after_the_job: str, azureml_client: MLClient, tmp_path: Path) -> None:
    azureml_client.jobs.download(after_the_job, download_path=tmp_path, output_name="total")
    assert (tmp_path / "named-outputs" / "total" / "total.txt").read_text().strip() == "42"


def test_the_job_belongs_to_its_experiment(after_the_job: str, azureml_client: MLClient) -> None:
    assert [job.experiment_name for job in azureml_client.jobs.list()] == ["totals"]


def test_the_output_becomes_a_model(after_the_job: str, azureml_client: MLClient) -> None:
    path = f"azureml://jobs/{after_the_job}/outputs/total"
    assert promote(azureml_client, "adder", path).version == "1"


def test_a_snapshot_has_nothing_of_the_tests_before(after_the_job: str, azureml_client: MLClient) -> None:
    assert list(azureml_client.models.list()) == []
    assert [data.name for data in azureml_client.data.list()] == ["numbers"]


def test_a_job_ends_with_its_test(azureml: LocalWorkspace, azureml_client: MLClient, numbers: Path) -> None:
    job = summing(share(azureml_client, numbers))
    job.command = "sleep 600"
    azureml_client.jobs.create_or_update(job)
    azureml.reset("jobs")
    assert azureml.ask("live") == {"jobs": [], "endpoints": []}
    assert [data.name for data in azureml_client.data.list()] == ["numbers"]


def test_a_job_without_data_is_refused(azureml_client: MLClient) -> None:
    with pytest.raises(HttpResponseError, match="numbers"):
        azureml_client.jobs.create_or_update(summing(Data(id="azureml:numbers:7", name="numbers")))
