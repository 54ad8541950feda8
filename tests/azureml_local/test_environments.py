"""Jobs in environments of their own: built by the conda file, found again, refused with a reason."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from azureml_local import switch
from azureml_local.settings import Scenario
from tests.support.tiny_model import workspace_client
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
WHICH = "python -c 'import probe, sys; print(probe.VERSION, sys.prefix)'"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
ENDS = ("Completed", "Failed")
JOB_LOG = "user_logs/std_log.txt"


def wheel(folder: Path, version: str) -> None:
    """A package `probe` of that version, as an index would have it."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"probe-{version}-py3-none-any.whl", "w") as archive:
        about = f"probe-{version}.dist-info"
        archive.writestr("probe.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: probe\nVersion: {version}\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")


def run(client: Any, conda: Path, *dependencies: Any) -> Any:
    """A job in an environment with those dependencies, when it has ended."""
    from azure.ai.ml import command
    from azure.ai.ml.entities import Environment

    conda.write_text(yaml.safe_dump({"name": "own", "dependencies": list(dependencies)}))
    environment = Environment(name=conda.stem, image="mcr.microsoft.com/azureml/any", conda_file=str(conda))
    job = client.jobs.create_or_update(command(command=WHICH, environment=environment))
    return until(
        lambda: found if (found := client.jobs.get(job.name)).status in ("Completed", "Failed") else None
    )


def test_a_job_runs_in_the_environment_that_its_conda_file_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, wheels = tmp_path / "state", tmp_path / "wheels"
    wheel(wheels, "1.0")
    wheel(wheels, "2.0")
    nowhere_else = ["--no-index", f"--find-links {wheels}"]

    def text(job: Any, path: str) -> str:
        return (state / "blobs" / "azureml" / f"ExperimentRun/dcid.{job.name}" / path).read_text()

    with switch.joined(state, scenario=Scenario(environments="uv")) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        client = workspace_client()
        old = f"python={PYTHON}", {"pip": [*nowhere_else, "probe==1.0"]}
        first = run(client, tmp_path / "first.yaml", *old)
        version, prefix = text(first, JOB_LOG).split()
        assert version == "1.0"
        assert prefix.startswith(str(state / "cache" / "environments"))
        assert "probe==1.0" in text(first, BUILD_LOG)
        # The same again, under another name: it is there.
        again = run(client, tmp_path / "again.yaml", *old)
        assert text(again, JOB_LOG).split() == ["1.0", prefix]
        newer = run(client, tmp_path / "newer.yaml", {"pip": [*nowhere_else, "probe==2.0"]})
        assert text(newer, JOB_LOG).split()[0] == "2.0"
        for dependency, said in (
            ("ffmpeg", "'ffmpeg'"),
            ({"pip": [*nowhere_else, "probe==3.0"]}, "probe==3.0"),
        ):
            failed = run(client, tmp_path / "failing.yaml", dependency)
            assert failed.status == "Failed"
            assert said in text(failed, BUILD_LOG)
