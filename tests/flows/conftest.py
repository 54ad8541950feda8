"""The whole flow in seconds: a Prefect server for the session, and the recipe of the tiny component."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.config import Finetune, apply, document, parse

RECIPE = Path(__file__).parent / "tiny" / "recipe.yaml"

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
    with settings.temporary_settings(updates), prefect_test_harness(server_startup_timeout=240):
        found = settings.get_current_settings().to_environment_variables(exclude_unset=True)
        yield PrefectServer(found["PREFECT_API_URL"], found)


@pytest.fixture
def config(environment: dict[str, str], tiny: str, tmp_path: Path) -> MakeConfig:
    """Makes the tiny recipe's configuration, with changes such as `deploy.instance_count=2`.

    Equal configurations adopt each other's jobs: a test that wants one of its own takes other rows.
    """
    return lambda *changes: tiny_config(tmp_path / "data", *changes)


def tiny_config(data: Path, *changes: str) -> Finetune:
    """The tiny recipe with its prepared data below `data`."""
    return parse(apply(document(RECIPE), [f"data.directory={data}", *changes]), "tiny")
