"""The session's Prefect server with the project deployed on it."""

from __future__ import annotations

import pytest

from tests.support.prefect_server import PrefectServer, make_pool


@pytest.fixture(scope="session")
def deployed(prefect_server: PrefectServer) -> PrefectServer:
    """The server with all deployments, and no worker that would take up their runs."""
    make_pool(prefect_server)
    prefect_server.prefect("deploy", "--all")
    return prefect_server
