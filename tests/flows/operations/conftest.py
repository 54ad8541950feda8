"""The session's Prefect server with the project deployed on it."""

from __future__ import annotations

import pytest

from tests.support.prefect_server import POOL, PrefectServer


@pytest.fixture(scope="session")
def deployed(prefect_server: PrefectServer) -> PrefectServer:
    """The server with all deployments, and no worker that would take up their runs."""
    prefect_server.prefect("work-pool", "create", "--type", "process", POOL)
    prefect_server.prefect("deploy", "--all")
    return prefect_server
