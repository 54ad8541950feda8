"""A local workspace and a Prefect server for the tests, and a component and a model that are tiny."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.state import quota
from azureml_local.state.store import Store
from tests.support.checkout import TINY

# The same examples every time, whatever else the machine does.
settings.register_profile(
    "suite", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

pytest_plugins = ["tests.azureml_local.contract.plugin"]

BASE = "tiny-chat-base"
_SIZES = "['Standard_NC4as_T4_v3', 'Standard_NC24ads_A100_v4']"


@dataclass(frozen=True)
class LocalServer:
    """A running local workspace, and the variables that lead clients to it."""

    state: Path
    url: str
    environment: dict[str, str]

    def admin(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of an admin route, below /admin."""
        return switch.ask(self.state, Address(self.url, 0), f"/admin/{path}", body)


@dataclass(frozen=True)
class PrefectServer:
    """A Prefect server of the tests' own, and the variables that lead other processes to it."""

    url: str
    environment: dict[str, str]


def pytest_configure(config: pytest.Config) -> None:
    """Processes that share the tests (-n 2 --dist loadfile) take the files in order, the fast ones first."""
    if hasattr(config.option, "loadscopereorder"):  # not without xdist
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fast tests first, so that what is wrong is said soon."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One server process for the session, at the pace `instant`, with a state of its own."""
    state = tmp_path_factory.mktemp("workspace")
    _allow_many_clusters(state)
    with switch.joined(state) as environment:
        yield LocalServer(state, environment["AZUREML_LOCAL_URL"], environment)


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
    with settings.temporary_settings(updates), prefect_test_harness(server_startup_timeout=240):
        found = settings.get_current_settings().to_environment_variables(exclude_unset=True)
        yield PrefectServer(found["PREFECT_API_URL"], found)


def _allow_many_clusters(state: Path) -> None:
    """Raise the limits that the whole suite would reach together; the other families keep Azure's."""
    store = Store(state / "workspace.sqlite")
    try:
        for name in ("standardDSv2Family", "TotalDedicatedCores", "TotalClusters"):
            quota.set_limit(store, name, 100_000)
    finally:
        store.close()


@pytest.fixture
def environment(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of the session's server, set in this process."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return server.environment


@pytest.fixture
def ml_client(environment: dict[str, str]) -> Any:
    """The SDK's client of the workspace, signed in as a script would."""
    return _workspace_client()


@pytest.fixture
def registry_client(environment: dict[str, str]) -> Any:
    """The SDK's client of the registry."""
    return _registry_client()


@pytest.fixture(scope="session")
def tiny(server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The component of tiny/ in the workspace and its base model in the registry; the model's name."""
    from azure.ai.ml import load_component
    from azure.ai.ml.entities import Model

    from tests.support.tiny.code import tiny_chat

    folder = tmp_path_factory.mktemp("base") / "model"
    tiny_chat.write(folder, [])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        _workspace_client().components.create_or_update(load_component(TINY / "component.yaml"))
        _registry_client().models.create_or_update(
            Model(
                name=BASE,
                version="1",
                path=str(folder),
                type="mlflow_model",
                tags={"finetune_compute_allow_list": _SIZES, "inference_compute_allow_list": _SIZES},
            )
        )
    return BASE


def _workspace_client() -> Any:
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(
        DefaultAzureCredential(),
        os.environ["AZURE_SUBSCRIPTION_ID"],
        os.environ["AZURE_RESOURCE_GROUP"],
        os.environ["AZUREML_WORKSPACE_NAME"],
    )


def _registry_client() -> Any:
    from azure.ai.ml import MLClient
    from azure.identity import DefaultAzureCredential

    return MLClient(DefaultAzureCredential(), registry_name="azureml")
