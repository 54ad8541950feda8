"""One Prefect server process for the tests that operate the project as its users do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.prefect_server import POOL, Server, serving


@pytest.fixture(scope="session")
def prefect_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server process with SQLite, for the whole session."""
    with serving(tmp_path_factory.mktemp("prefect-process")) as server:
        yield server


@pytest.fixture(scope="session")
def deployed(prefect_process: Server) -> Server:
    """The same with all deployments, and no worker that would take up their runs."""
    prefect_process.prefect("work-pool", "create", "--type", "process", POOL)
    prefect_process.prefect("deploy", "--all")
    return prefect_process
