"""Both wheels, built, installed into empty environments and run where there is no checkout.

The packages come from uv's cache, and from the index what is not in it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.checkout import CHILDREN, ROOT
from tests.support.prefect_server import migrated

pytestmark = pytest.mark.slow

STEP = """\
import mlflow

with mlflow.start_run():
    mlflow.log_metric("loss", 0.5)
"""
CLIENT = """\
import os
from pathlib import Path

import mlflow
from azure.ai.ml import MLClient, command
from azure.ai.ml.entities import AmlCompute
from azure.identity import DefaultAzureCredential

names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
client = MLClient(DefaultAzureCredential(), *(os.environ[name] for name in names))
cluster = AmlCompute(name="cpu", size="Standard_DS3_v2", max_instances=1)
client.compute.begin_create_or_update(cluster).result()
environment = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
job = command(code="step", command="python step.py", compute="cpu", environment=environment)
job = client.jobs.create_or_update(job)
client.jobs.stream(job.name)
mlflow.set_tracking_uri(client.workspaces.get(os.environ["AZUREML_WORKSPACE_NAME"]).mlflow_tracking_uri)
status = str(client.jobs.get(job.name).status).rpartition(".")[2].casefold()
print(status, mlflow.get_run(job.name).data.metrics)

registry = MLClient(DefaultAzureCredential(), registry_name="azureml")
registry.models.download("SmolLM2-135M-Instruct", version="1", download_path="model")
"""


@dataclass(frozen=True)
class Installed:
    """An environment with nothing but a wheel and what it requires, and an empty directory to work in."""

    folder: Path
    home: Path

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, by somebody who has set nothing and has no checkout."""
        environment = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(self.folder / "bin"), os.defpath]),
            "LANG": "C.UTF-8",
            "AZUREML_LOCAL_STATE": str(self.home / "state"),
            "NO_COLOR": "1",
            "PYTHONPATH": str(CHILDREN),  # which holds no more than a sitecustomize
        }
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
        )

    def top_level(self) -> set[str]:
        """What can be imported in the environment, by the files of its site-packages."""
        (site,) = self.folder.glob("lib/python*/site-packages")
        return {file.name.removesuffix(".py") for file in site.iterdir()}


def uv(*arguments: str | Path) -> None:
    program = os.environ.get("UV") or shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    assert program, "the tests are run with uv"
    done = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of both wheels, built as they are published: from the source archives."""
    folder = tmp_path_factory.mktemp("dist")
    uv("build", "--all-packages", "--quiet", "--out-dir", folder)
    return folder


@pytest.fixture(scope="module")
def local(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """azureml-local without its extra."""
    return installed(tmp_path_factory.mktemp("local"), next(wheels.glob("azureml_local-*.whl")))


@pytest.fixture(scope="module")
def flow(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """azureml-finetune, and azureml-local without its extra."""
    return installed(tmp_path_factory.mktemp("flow"), *wheels.glob("*.whl"))


def installed(folder: Path, *files: Path) -> Installed:
    environment, home = folder / "environment", folder / "home"
    home.mkdir()
    uv("venv", "--quiet", "--python", sys.executable, environment)
    uv("pip", "install", "--quiet", "--python", environment, *files)
    take_bytecode(environment)
    return Installed(environment, home)


def take_bytecode(environment: Path) -> None:
    """Spare the processes of a new environment to compile what this one has compiled of the same versions.

    Python takes bytecode for what it is only if it names the time and size of the source beside it.
    """
    (site,) = environment.glob("lib/python*/site-packages")
    ours = Path(sysconfig.get_path("purelib"))
    for folder, below, _ in os.walk(ours):
        target = site / Path(folder).relative_to(ours)
        below[:] = [name for name in below if name == "__pycache__" or (target / name).is_dir()]
        if target.name == "__pycache__":
            target.mkdir(exist_ok=True)
            for file in os.scandir(folder):
                if not (target / file.name).exists():
                    take(file.path, target / file.name)


def take(file: str, place: Path) -> None:
    """Link it there; nobody writes into it, as Python replaces bytecode by a new file."""
    try:
        os.link(file, place)
    except OSError:  # another file system
        shutil.copyfile(file, place)


def test_the_local_workspace_runs_a_job_that_logs_to_mlflow(local: Installed, flow: Installed) -> None:
    """The client's SDK is the other environment's: azureml-local has none, and needs none."""
    step = local.home / "step"
    step.mkdir()
    (step / "step.py").write_text(STEP)
    (local.home / "client.py").write_text(CLIENT)
    python = str(flow.folder / "bin" / "python")
    done = local.run("azureml-local", "exec", "--", python, "client.py")
    assert done.stdout.splitlines()[-1:] == ["completed {'loss': 0.5}"], done.stderr[-4000:]
    assert done.returncode == 1  # of the model that it asks for in the end
    assert 'pip install "azureml-local[chat]"' in done.stderr


def test_a_step_without_the_extra_names_it(local: Installed) -> None:
    step = local.run("python", "-m", "azureml_local.components.finetune")
    assert step.returncode == 1
    assert step.stderr.count("\n") == 1
    assert 'pip install "azureml-local[chat]"' in step.stderr


def test_azureml_local_helps_itself(local: Installed) -> None:
    for arguments in (["--help"], ["up", "--help"], ["exec", "--help"]):
        done = local.run("azureml-local", *arguments)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout
    assert local.run("azureml-local", "exec", "--", "true").returncode == 0


@pytest.mark.parametrize("program", [["finetune"], ["python", "-m", "azureml_finetune"]], ids=" ".join)
def test_finetune_knows_its_recipes(flow: Installed, program: list[str]) -> None:
    done = flow.run(*program, "run", "NOSUCH")
    assert done.returncode == 1
    for recipe in (ROOT / "flows" / "recipes").glob("*.yaml"):
        assert recipe.stem in done.stderr


def test_finetune_helps_itself(flow: Installed) -> None:
    for arguments in (["--help"], ["run", "--help"], ["history", "--help"]):
        done = flow.run("finetune", *arguments)
        assert done.returncode == 0, done.stderr
        assert "Usage" in done.stdout


def test_the_flow_runs_against_the_local_workspace(flow: Installed) -> None:
    """A whole flow: Prefect's temporary server, the workspace and the SDKs, from the wheels alone."""
    migrated(flow.home / ".prefect")
    done = flow.run("finetune", "reap", "--json")
    assert done.returncode == 0, done.stderr[-4000:]
    assert json.loads(done.stdout)["reaped"] == []


def test_the_page_is_written_with_what_lies_beside_the_code(flow: Installed) -> None:
    """Without a Prefect server, of which the test before has had one."""
    found = "import azureml_finetune; azureml_finetune.find_workflow()"
    done = flow.run("python", "-c", f"{found}\nfrom flows.dashboard.page import page\nprint(page([]))")
    assert "<style>" in done.stdout, done.stderr


def test_no_package_of_a_common_name_is_left_in_the_environment(flow: Installed) -> None:
    assert {"azureml_finetune", "azureml_local"} <= flow.top_level()
    assert not {"flows", "tasks", "tests", "examples", "benchmarks", "scripts"} & flow.top_level()


def test_both_wheels_say_that_they_are_typed_and_under_which_licence(flow: Installed) -> None:
    for name in ("azureml_finetune", "azureml_local"):
        (site,) = flow.folder.glob("lib/python*/site-packages")
        assert (site / name / "py.typed").is_file()
        (metadata,) = site.glob(f"{name}-*.dist-info")
        assert (metadata / "licenses" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_file_of_the_packages_is_in_the_wheel(flow: Installed) -> None:
    """Recipes, pages, styles, samples: what the code reads beside itself."""
    (site,) = flow.folder.glob("lib/python*/site-packages")
    homes = {
        ROOT / "flows": site / "azureml_finetune" / "flows",
        ROOT / "tasks": site / "azureml_finetune" / "tasks",
        ROOT / "azureml_local" / "src" / "azureml_local": site / "azureml_local",
    }
    for source, home in homes.items():
        files = {file.relative_to(source) for file in source.rglob("*") if file.is_file()}
        wanted = {file for file in files if "__pycache__" not in file.parts}
        assert {str(file) for file in wanted if not (home / file).is_file()} == set()
