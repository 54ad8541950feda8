"""What the servers' imports leave out."""

from __future__ import annotations

import importlib.metadata

from azureml_local import imports

REPOSITORIES = "mlflow.artifact_repository"  # azureml-mlflow has some


def test_a_package_finds_none_of_its_plug_ins_and_others_theirs() -> None:
    installed = importlib.metadata.entry_points(group=REPOSITORIES).names
    assert installed
    with imports.without_plugins("mlflow"):
        assert not importlib.metadata.entry_points(group=REPOSITORIES)
        assert importlib.metadata.entry_points(group="pytest11")
        assert importlib.metadata.entry_points()
    assert importlib.metadata.entry_points(group=REPOSITORIES).names == installed
