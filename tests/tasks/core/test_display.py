"""What a run shows in Prefect, and asks of it, holds it up once where the server is out of reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tasks.core import display
from tasks.core.display import displaying
from tasks.core.ending import Ending, ending_of
from tests.support import loopback

_RETRIES = 2
_RUN = "0f5b7b0e-3f0a-4d0c-9d53-0a6b43b1c5f4"


class _Overloaded(BaseHTTPRequestHandler):
    """As what stands before a server that has gone: each request may be tried again at once."""

    asked: Counter[str] = Counter()

    def do_GET(self) -> None:
        self.asked[self.path.removeprefix("/api")] += 1
        self.send_response(503)
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """How often each path was asked of Prefect's server, which is out of reach."""
    monkeypatch.setattr(_Overloaded, "asked", Counter())
    monkeypatch.setattr(display, "_away_until", 0.0)
    with (
        loopback.serving(_Overloaded) as port,
        temporary_settings(
            {PREFECT_API_URL: f"http://127.0.0.1:{port}/api", PREFECT_CLIENT_MAX_RETRIES: _RETRIES}
        ),
    ):
        yield _Overloaded.asked


def show() -> None:
    with displaying(), get_client(sync_client=True) as client:
        client.hello()


def test_what_cannot_be_shown_is_tried_again_the_first_time_alone(
    asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Meanwhile a job goes on that has reached its budget, or an endpoint that is to be deleted."""
    now = [1000.0]
    monkeypatch.setattr(display, "monotonic", lambda: now[0])
    show()
    assert asked["/hello"] == 1 + _RETRIES
    show()
    show()
    assert asked["/hello"] == 1 + _RETRIES + 2
    now[0] += display.AWAY
    show()
    assert asked["/hello"] == 2 * (1 + _RETRIES) + 2


def test_a_run_that_is_interrupted_asks_once_whether_it_is_cancelled(
    asked: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed before long, and has to clear up."""
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", _RUN)
    assert ending_of(SystemExit()) is Ending.LOST
    assert asked[f"/flow_runs/{_RUN}"] == 1
