"""Jobs and scoring scripts in environments of their own: built by the conda file, found again, refused."""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.ai.ml.entities import ManagedOnlineEndpoint
from azure.core.exceptions import HttpResponseError

from azureml_local import switch
from azureml_local.settings import Scenario
from tests.support import inference_package
from tests.support.tiny_model import workspace_client
from tests.support.waiting import until

pytestmark = pytest.mark.slow

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
WHICH = "python -c 'import probe, sys; print(probe.VERSION, sys.prefix)'"
BUILD_LOG = "azureml-logs/20_image_build_log.txt"
ENDS = ("Completed", "Failed")
SERVER = "azureml-inference-server-http"
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


def inference_wheel(folder: Path) -> None:
    """The stand-in for Azure's inference server, as an index would have it."""
    with zipfile.ZipFile(folder / "azureml_inference_server_http-1.5-py3-none-any.whl", "w") as archive:
        about, name = "azureml_inference_server_http-1.5.dist-info", "azureml-inference-server-http"
        for path, text in inference_package.FILES.items():
            archive.writestr(path, text)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/entry_points.txt", inference_package.ENTRY_POINTS)
        archive.writestr(f"{about}/RECORD", "")


def deploy(client: Any, conda: Path, *dependencies: Any) -> None:
    """A deployment `own/NAME` of a scoring script, NAME being the conda file's, with those dependencies."""
    from azure.ai.ml.entities import CodeConfiguration, Environment, ManagedOnlineDeployment

    conda.write_text(yaml.safe_dump({"name": "own", "dependencies": list(dependencies)}))
    code = conda.parent / "code"
    code.mkdir(exist_ok=True)
    (code / "score.py").write_text(
        "import probe, sys\ndef init():\n    pass\ndef run(raw):\n    return [probe.VERSION, sys.prefix]\n"
    )
    client.online_deployments.begin_create_or_update(
        ManagedOnlineDeployment(
            name=conda.stem,
            endpoint_name="own-environments",
            environment=Environment(name=conda.stem, image="any", conda_file=str(conda)),
            code_configuration=CodeConfiguration(code=str(code), scoring_script="score.py"),
            instance_type="Standard_DS3_v2",
            instance_count=1,
        )
    ).result()


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


def test_jobs_and_scoring_scripts_run_in_the_environment_that_their_conda_file_asks_for(
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

        # Scoring scripts: as jobs, with Azure's server in the environment.
        inference_wheel(wheels)
        endpoint = ManagedOnlineEndpoint(name="own-environments", auth_mode="key")
        client.online_endpoints.begin_create_or_update(endpoint).result()
        deploy(client, tmp_path / "scoring.yaml", {"pip": [*nowhere_else, "probe==2.0", SERVER]})
        (tmp_path / "asked.json").write_text("{}")
        answer = client.online_endpoints.invoke(
            "own-environments", deployment_name="scoring", request_file=str(tmp_path / "asked.json")
        )
        version, prefix = json.loads(answer)["result"]
        assert version == "2.0"
        assert prefix.startswith(str(state / "cache" / "environments"))
        with pytest.raises(HttpResponseError, match="ImageBuildFailure"):
            deploy(client, tmp_path / "failing.yaml", {"pip": [*nowhere_else, "probe==3.0"]})
        assert "probe==3.0" in client.online_deployments.get_logs("failing", "own-environments", lines=50)
        client.online_endpoints.begin_delete("own-environments").result()
