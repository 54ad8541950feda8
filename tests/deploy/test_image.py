"""The image of deploy/Dockerfile, as far as it can be made and used where there is no container engine.

Its steps are carried out in a folder, into an environment that has nothing else. The packages come from uv's
cache, and from the index what is not in it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import LocalServer
from tests.support.checkout import CHILDREN, ROOT
from tests.support.dockerfile import carry_out, let_in, stages
from tests.support.prefect_server import PrefectServer

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
BUILD, FINAL = stages(DOCKERFILE)
BLOCK = "finetune-results"
MAKES_THE_STORE = f"""\
import sys
from azure.identity import DefaultAzureCredential
from azure.storage.blob import BlobServiceClient
from prefect_azure import AzureBlobStorageContainer, AzureBlobStorageCredentials

account = sys.argv[1]
BlobServiceClient(account, credential=DefaultAzureCredential()).create_container("{BLOCK}")
store = AzureBlobStorageContainer(
    container_name="{BLOCK}", credentials=AzureBlobStorageCredentials(account_url=account)
)
store.save("{BLOCK}")
"""
USES_A_RESULT = """\
from prefect import flow, task
from tasks.core.reuse import Reused


@task(persist_result=True, cache_key_fn=lambda *_: "a job that was paid for")
def train() -> Reused:
    return Reused(kind="job", name="once", run="first")


@flow
def pod() -> str:
    state = train(return_state=True)
    return f"{state.name}: {state.result().name}"


print(pod())
"""


@dataclass(frozen=True)
class Image:
    """What the image holds: its environment, and the code in its work directory."""

    environment: Path
    app: Path

    def run(self, home: Path, *command: str, **variables: str) -> str:
        """What a container of the image prints; its home is its own and gone with it."""
        home.mkdir(exist_ok=True)
        own = {"PATH": f"{self.environment / 'bin'}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}
        own["PYTHONPATH"] = str(CHILDREN)  # which holds no more than a sitecustomize
        done = subprocess.run(
            command, cwd=self.app, env={**variables, **own}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    variables = {
        **os.environ,
        "UV_PROJECT_ENVIRONMENT": str(folder / "venv"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    carry_out(BUILD, ROOT, folder / "app", variables)
    return Image(folder / "venv", folder / "app")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore")
    copied = [word for step in (*BUILD, *FINAL) if step.is_of_context for word in step.words[:-1]]
    assert len(copied) > 8
    for path in copied:
        assert (ROOT / path).exists(), path
        assert let_in(path, ignored), path
    for path in (".venv/bin/python", ".git/config", "config.json", "tests/conftest.py", "flows/__pycache__"):
        assert not let_in(path, ignored), path


def test_it_runs_without_rights_and_installs_nothing_but_the_lock() -> None:
    (user,) = (step.text for step in FINAL if step.name == "USER")
    assert int(user) >= 10_000
    assert FINAL.index(next(step for step in FINAL if step.name == "USER")) > max(
        at for at, step in enumerate(FINAL) if step.name in ("RUN", "COPY")
    )
    synced = [step.text for step in BUILD if step.name == "RUN" and "uv sync" in step.text]
    assert synced
    assert all("--locked" in text and "--no-default-groups" in text for text in synced)


@pytest.mark.slow
def test_it_has_the_command_and_no_library_that_trains(image: Image, tmp_path: Path) -> None:
    assert "Usage: finetune" in image.run(tmp_path, "finetune", "--help")
    unwanted = ("torch", "transformers", "azureml_local")
    find = f"from importlib.util import find_spec; print([name for name in {unwanted} if find_spec(name)])"
    assert image.run(tmp_path, "python", "-c", find).strip() == "[]"
    form = "from flows.finetune import finetune; print(sorted(finetune.parameters.properties)[:3])"
    assert "'base'" in image.run(tmp_path, "python", "-c", form)


@pytest.mark.slow
def test_a_result_in_blob_storage_outlives_the_pod(
    image: Image, server: LocalServer, prefect_server: PrefectServer, tmp_path: Path
) -> None:
    """The store is the local workspace's account, which takes tokens of an identity as Azure's does."""
    account = f"{server.environment['AZUREML_LOCAL_URL']}/local.blob.core.windows.net"
    variables = {
        **server.environment,
        "PREFECT_API_URL": f"{prefect_server.url}/api",
        "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": f"azure-blob-storage-container/{BLOCK}",
    }
    making = {name: value for name, value in variables.items() if "RESULT" not in name}
    image.run(tmp_path / "admin", "python", "-c", MAKES_THE_STORE, account, **making)
    (image.app / "pod.py").write_text(USES_A_RESULT)
    pods = [tmp_path / name for name in ("first", "second")]
    said = []
    for pod in pods:
        said.append(image.run(pod, "python", "pod.py", **variables).splitlines()[-1])
        shutil.rmtree(pod)
    assert said == ["Completed: once", "Cached: once"]
