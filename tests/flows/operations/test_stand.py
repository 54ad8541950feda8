"""The server that `finetune show` runs on, which may be killed as anything else on a busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

from flows.operations import stand
from flows.operations.stand import PrefectServer
from tasks.azure.failure import Cause
from tests.support.failures import fails
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def speechless(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of a Prefect server, a process that says a word and answers nothing."""

    def start(server: PrefectServer) -> None:
        program = "import time; print('its last word', flush=True); time.sleep(3600)"
        server.process = server.spawn([sys.executable, "-c", program], server.log)
        until(server.log.read_text)

    monkeypatch.setattr(PrefectServer, "start", start)


def test_a_server_that_was_killed_is_named_with_its_last_words(tmp_path: Path) -> None:
    with fails(Cause.PREFECT, "Prefect server ended while") as caught, stand.serving(tmp_path) as server:
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        server.client().read_deployments()
    assert "its last word" in str(caught.value.details)


def test_a_connection_that_fails_beside_it_is_told_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(httpx.ConnectError), stand.serving(tmp_path) as server:
        server.client().read_deployments()
