"""What is in a workspace before anybody has done anything in it."""

from __future__ import annotations

from azureml_local.execution import neighbours
from azureml_local.execution.workspace import Workspace
from azureml_local.wire import datastore, registry, seed, seed_file


def plant(workspace: Workspace) -> None:
    """Write what every workspace and the registry begin with, and the scenario's seed, where they are not."""
    for each in neighbours.everyone(workspace):
        datastore.seed(each)
    registry.seed(workspace)
    if workspace.settings.scenario.seed is not None:
        seed.plant(workspace, seed_file.read(workspace.settings.scenario.seed))
