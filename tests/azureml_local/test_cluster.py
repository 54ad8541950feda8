"""A cluster's nodes and the workspace's clock."""

from __future__ import annotations

from pathlib import Path

import pytest

from azureml_local.execution.cluster import Clusters
from azureml_local.execution.control import Control
from azureml_local.execution.graph import Target
from azureml_local.settings import Settings
from azureml_local.state.documents import CLUSTERS, ClusterDocument
from azureml_local.state.workspace import WorkspaceState

CLUSTER: ClusterDocument = {
    "name": "c",
    "tags": {},
    "location": "local",
    "identity": None,
    "properties": {
        "computeType": "AmlCompute",
        "description": None,
        "disableLocalAuth": True,
        "createdOn": "2026",
        "modifiedOn": "2026",
        "provisioningState": "Succeeded",
        "properties": {
            "vmSize": "Standard_DS3_v2",
            "vmPriority": "Dedicated",
            "osType": "Linux",
            "scaleSettings": {
                "minNodeCount": 0,
                "maxNodeCount": 1,
                "nodeIdleTimeBeforeScaleDown": "PT2H",
            },
            "remoteLoginPortPublicAccess": "Disabled",
            "enableNodePublicIp": True,
            "isolatedNetwork": False,
            "enableBatchPrivateLink": False,
            "subnet": None,
            "virtualMachineImage": None,
        },
    },
}


class Impatient(Control):
    """That of a job which must not be kept waiting."""

    def pause(self, seconds: float) -> None:
        pytest.fail(f"it waits {seconds} s")


def test_a_node_of_before_the_clock_was_set_back_is_there_at_once(tmp_path: Path) -> None:
    state = WorkspaceState.open(Settings(tmp_path, 0))
    state.store.put(CLUSTERS, "c", CLUSTER)
    clusters = Clusters(state)
    state.clock.advance(3600)
    with clusters.nodes(Target("c"), 1, "first", Impatient()) as first:
        pass
    state.clock.restart()
    with clusters.nodes(Target("c"), 1, "second", Impatient()) as second:
        assert second == first
    state.close()
