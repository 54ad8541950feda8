"""MLflow's model registry through mlflow itself: it shows the models that `client.models` shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import mlflow
import pytest
from azure.ai.ml.entities import Model
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.runs_artifact_repo import RunsArtifactRepository

# mlflow's own: its types, as they are imported, and that stages will end.
pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
_DESCRIPTION = """\
flavors:
  python_function:
    loader_module: greeting_loader
    code: code
    python_version: 3.11.0
mlflow_version: 3.15.0
"""
_LOADER = """
import pathlib

class Greeting:
    def __init__(self, path):
        self.text = pathlib.Path(path).read_text()
    def predict(self, data, params=None):
        return self.text

def _load_pyfunc(path):
    return Greeting(path + "/greeting.txt")
"""


@pytest.fixture
def client(ml_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """mlflow with the workspace for tracking and registry, as `mlflow.set_tracking_uri` makes it."""
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(ml_client.workspaces.get("local").mlflow_tracking_uri)
    try:
        yield mlflow.MlflowClient()
    finally:
        mlflow.set_tracking_uri(before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An MLflow model that says what its file says."""
    made = tmp_path / "model"
    (made / "code").mkdir(parents=True)
    (made / "MLmodel").write_text(_DESCRIPTION)
    (made / "greeting.txt").write_text("hello")
    (made / "code" / "greeting_loader.py").write_text(_LOADER)
    return made


@pytest.fixture
def name() -> str:
    return f"model-{uuid4().hex[:8]}"


def test_a_folder_is_registered_and_is_a_model_of_the_workspace(
    client: Any, folder: Path, name: str, ml_client: Any
) -> None:
    made = mlflow.register_model(f"file://{folder}", name, tags={"kind": "greeting"})
    again = mlflow.register_model(f"file://{folder}", name)
    assert (made.version, again.version, made.status) == ("1", "2", "READY")
    kept = ml_client.models.get(name, version="1")
    assert (kept.type, kept.tags) == ("mlflow_model", {"kind": "greeting"})
    assert kept.flavors["python_function"]["loader_module"] == "greeting_loader"
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict([]) == "hello"
    assert mlflow.pyfunc.load_model(f"models:/{name}/latest").predict([]) == "hello"


def test_a_runs_model_is_registered_with_its_run(client: Any, folder: Path, name: str) -> None:
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "trained")
    # As `mlflow.register_model("runs:/…")` asks with mlflow 2; mlflow 3 asks for logged models first, which
    # neither Azure nor this workspace has.
    client.create_registered_model(name)
    source = RunsArtifactRepository.get_underlying_uri(f"runs:/{run.info.run_id}/trained")
    made = client.create_model_version(name, source, run.info.run_id)
    assert (made.version, made.run_id) == ("1", run.info.run_id)
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict([]) == "hello"
    assert [one.name for one in client.search_model_versions(f"run_id='{run.info.run_id}'")] == [name]


def test_a_model_of_the_workspace_is_seen_by_mlflow(
    client: Any, folder: Path, name: str, ml_client: Any
) -> None:
    kept = Model(name=name, path=folder, type="mlflow_model", description="says hello", tags={"a": "b"})
    ml_client.models.create_or_update(kept)
    found = client.get_registered_model(name)
    assert [version.version for version in found.latest_versions] == ["1"]
    version = client.get_model_version(name, "1")
    assert (version.description, version.tags) == ("says hello", {"a": "b"})
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict([]) == "hello"


def test_what_is_changed_by_mlflow_is_changed_for_all(
    client: Any, folder: Path, name: str, ml_client: Any
) -> None:
    mlflow.register_model(f"file://{folder}", name)
    client.update_model_version(name, "1", description="better")
    client.set_model_version_tag(name, "1", "stays", "x")
    client.set_model_version_tag(name, "1", "goes", "y")
    client.delete_model_version_tag(name, "1", "goes")
    client.update_registered_model(name, description="all of them")
    client.set_registered_model_tag(name, "team", "a")
    kept = ml_client.models.get(name, version="1")
    assert (kept.description, kept.tags) == ("better", {"stays": "x"})
    found = client.get_registered_model(name)
    assert (found.description, found.tags) == ("all of them", {"team": "a"})
    client.delete_registered_model_tag(name, "team")
    assert client.get_registered_model(name).tags == {}


def test_stages_and_aliases_lead_to_versions(client: Any, folder: Path, name: str) -> None:
    for _ in range(3):
        mlflow.register_model(f"file://{folder}", name)
    client.transition_model_version_stage(name, "1", "Production")
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    stages = {version.current_stage: version.version for version in client.get_latest_versions(name)}
    assert stages == {"Archived": "1", "Production": "2", "None": "3"}
    assert [one.version for one in client.get_latest_versions(name, ["Production"])] == ["2"]
    client.set_registered_model_alias(name, "champion", "2")
    assert client.get_model_version_by_alias(name, "champion").version == "2"
    assert mlflow.pyfunc.load_model(f"models:/{name}@champion").predict([]) == "hello"
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(MlflowException, match="alias champion not found"):
        client.get_model_version_by_alias(name, "champion")


def test_models_are_searched_page_by_page(client: Any, name: str) -> None:
    for number in range(3):
        client.create_registered_model(f"{name}-{number}")
    first = client.search_registered_models(max_results=2)
    assert len(first) == 2
    assert first.token
    found = list(first)
    while first.token:
        first = client.search_registered_models(max_results=2, page_token=first.token)
        found += first
    names = [model.name for model in found]
    assert names == sorted(set(names))
    assert {f"{name}-{number}" for number in range(3)} <= set(names)
    (one,) = client.search_registered_models(f"name = '{name}-1'")
    assert one.name == f"{name}-1"


def test_a_deleted_version_is_gone_and_its_name_stays(client: Any, folder: Path, name: str) -> None:
    mlflow.register_model(f"file://{folder}", name)
    client.set_registered_model_alias(name, "only", "1")
    client.delete_model_version(name, "1")
    with pytest.raises(MlflowException) as raised:
        client.get_model_version(name, "1")
    assert raised.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    found = client.get_registered_model(name)
    assert (found.latest_versions, found.aliases) == ([], {})


def test_what_the_service_does_not_do_is_refused(
    client: Any, folder: Path, name: str, tmp_path: Path
) -> None:
    mlflow.register_model(f"file://{folder}", name)
    with pytest.raises(MlflowException, match="cannot be renamed or deleted"):
        client.rename_registered_model(name, "other")
    with pytest.raises(MlflowException, match="cannot be renamed or deleted"):
        client.delete_registered_model(name)
    for wrong in ("name LIKE 'm%'", "tags.a = 'b'"):
        with pytest.raises(MlflowException, match="Invalid filter"):
            client.search_registered_models(wrong)
    with pytest.raises(MlflowException) as raised:
        client.create_registered_model(name)
    assert raised.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with mlflow.start_run() as run:
        mlflow.log_text("no model", "notes/text.txt")
    with pytest.raises(MlflowException, match="needs a file MLmodel"):
        client.create_model_version(name, f"runs:/{run.info.run_id}/notes", run.info.run_id)
