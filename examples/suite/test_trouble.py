"""What the project does when Azure is in trouble, by fault rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from azure.ai.ml import MLClient
from azure.core.exceptions import HttpResponseError
from training import cluster, share

from azureml_local import LocalWorkspace
from azureml_local.pytest_plugin import Faults

QUOTA = {"kind": "quota", "method": "PUT", "path": "computes/*", "count": None}


@pytest.mark.azureml_faults(QUOTA)
def test_a_cluster_beyond_the_quota_is_refused(azureml_client: MLClient) -> None:
    with pytest.raises(HttpResponseError, match="Not enough quota"):
        cluster(azureml_client)


def test_a_fault_can_come_later(azureml_client: MLClient, azureml_faults: Faults) -> None:
    cluster(azureml_client)
    azureml_faults(QUOTA)
    with pytest.raises(HttpResponseError, match="Not enough quota"):
        cluster(azureml_client, "another")


def test_no_fault_is_left_of_another_test(azureml: LocalWorkspace) -> None:
    assert azureml.faults() == []


def test_a_lost_answer_makes_no_second_version(
    azureml_client: MLClient, azureml_faults: Faults, numbers: Path
) -> None:
    azureml_faults({"kind": "reset", "method": "PUT", "path": "data/numbers/versions/*", "acted": True})
    assert share(azureml_client, numbers).version == "1"
