"""The whole flow in seconds: the recipe of the tiny component, in a workspace that others work in too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.run.config import Finetune
from tests.conftest import BASE, LocalServer
from tests.support import shared_workspace
from tests.support.fork_server import ForkServer, forking
from tests.support.leftovers import Leftovers
from tests.support.prefect_server import PrefectServer
from tests.support.tiny_recipe import tiny_config

MakeConfig = Callable[..., Finetune]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[LocalServer]:
    """In place of the other tests' empty workspace: one with other people's things, and few permissions."""
    with shared_workspace.serving(tmp_path_factory.mktemp("shared-workspace"), leftovers) as found:
        yield found


@pytest.fixture(scope="session")
def tiny(server: LocalServer) -> str:
    """The base model's name: it is there, and so is the component."""
    return BASE


@pytest.fixture(scope="session")
def fork_server(
    server: LocalServer, prefect_server: PrefectServer, leftovers: Leftovers
) -> Iterator[ForkServer]:
    """Starts runs as processes in which everything is imported; on the session's servers unless told."""
    with forking({**prefect_server.environment, **server.environment}) as forked:
        leftovers.keep(forked.pid, "what forks the runs off")
        yield forked


@pytest.fixture
def config(environment: dict[str, str], tiny: str, tmp_path: Path) -> MakeConfig:
    """Makes the tiny recipe's configuration, with changes such as `deploy.instance_count=2`.

    Equal configurations reuse each other's jobs: a test that wants one of its own takes other rows.
    """
    return lambda *changes: tiny_config(tmp_path / "data", *changes)
