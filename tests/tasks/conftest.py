"""What the stages' tests share: a signed-in session."""

from __future__ import annotations

import pytest

from tasks.azure.clients import Session
from tasks.core.lease import Lease
from tasks.sign_in import Workspace, sign_in
from tests.support.flow_clock import FlowClock


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def flow_clock(monkeypatch: pytest.MonkeyPatch) -> FlowClock:
    """The clock by which operations are followed, moved by waiting alone."""
    return FlowClock.installed(monkeypatch)


@pytest.fixture
def lease() -> Lease:
    return Lease.of_run("00000000-0000-0000-0000-0000000000c0", hours=1)
