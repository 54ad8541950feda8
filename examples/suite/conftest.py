"""What several tests use: nothing here starts or ends the workspace, the plugin does."""

from __future__ import annotations

from pathlib import Path

import pytest
from training import finished, share, summing

from azureml_local import LocalWorkspace


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """A file with three numbers."""
    file = tmp_path / "numbers.txt"
    file.write_text("1\n2\n39\n")
    return file


@pytest.fixture(scope="session")
def summed(azureml_session: LocalWorkspace, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that has completed, once for the session, kept in the snapshot `summed`; the job's name."""
    file = tmp_path_factory.mktemp("numbers") / "numbers.txt"
    file.write_text("1\n2\n39\n")
    client = azureml_session.client()
    job = finished(client, summing(share(client, file)))
    azureml_session.save("summed")
    return str(job.name)


@pytest.fixture
def after_the_job(summed: str, azureml: LocalWorkspace) -> str:
    """The workspace as it was when the job had completed."""
    azureml.load("summed")
    return summed
