"""The whole flow in seconds: a Prefect server for the session, and a component and a model that are tiny."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.config import Finetune, apply, document, parse
from tests.conftest import LocalServer

TINY = Path(__file__).parent / "tiny"
RECIPE = TINY / "recipe.yaml"
BASE = "tiny-chat-base"
SIZES = "['Standard_NC4as_T4_v3', 'Standard_NC24ads_A100_v4']"

MakeConfig = Callable[..., Finetune]


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server of the tests' own, and the variables that lead other processes to it."""

    url: str
    environment: dict[str, str]


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    """Flows of this process run against it; results, profiles and database are in a folder of their own."""
    import prefect.settings as settings
    from prefect.testing.utilities import prefect_test_harness

    home = tmp_path_factory.mktemp("prefect")
    updates: dict[Any, Any] = {
        settings.PREFECT_HOME: home,
        settings.PREFECT_LOCAL_STORAGE_PATH: home / "storage",
        settings.PREFECT_SERVER_ANALYTICS_ENABLED: False,
        settings.PREFECT_LOGGING_LEVEL: "WARNING",
    }
    with settings.temporary_settings(updates), prefect_test_harness(server_startup_timeout=120):
        found = settings.get_current_settings().to_environment_variables(exclude_unset=True)
        yield PrefectServer(found["PREFECT_API_URL"], found)


@pytest.fixture(scope="session")
def tiny(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The component of tiny/ in the workspace and its base model in the registry; the model's name."""
    from azure.ai.ml import MLClient, load_component
    from azure.ai.ml.entities import Model
    from azure.identity import DefaultAzureCredential

    from tests.flows.tiny.code import tiny_chat

    folder = tmp_path_factory.mktemp("base") / "model"
    tiny_chat.write(folder, [])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        workspace = MLClient(
            DefaultAzureCredential(),
            os.environ["AZURE_SUBSCRIPTION_ID"],
            os.environ["AZURE_RESOURCE_GROUP"],
            os.environ["AZUREML_WORKSPACE_NAME"],
        )
        workspace.components.create_or_update(load_component(TINY / "component.yaml"))
        MLClient(DefaultAzureCredential(), registry_name="azureml").models.create_or_update(
            Model(
                name=BASE,
                version="1",
                path=str(folder),
                type="mlflow_model",
                tags={"finetune_compute_allow_list": SIZES, "inference_compute_allow_list": SIZES},
            )
        )
    return BASE


@pytest.fixture
def config(environment: dict[str, str], tiny: str, tmp_path: Path) -> MakeConfig:
    """Makes the tiny recipe's configuration, with changes such as `deploy.instance_count=2`.

    Equal configurations adopt each other's jobs: a test that wants one of its own takes other rows.
    """
    return lambda *changes: tiny_config(tmp_path / "data", *changes)


def tiny_config(data: Path, *changes: str) -> Finetune:
    """The tiny recipe with its prepared data below `data`."""
    return parse(apply(document(RECIPE), [f"data.directory={data}", *changes]), "tiny")
