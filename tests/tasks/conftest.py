"""What the stages' tests share: a signed-in session, and faults that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.azure.clients import Session
from tasks.core.lease import Lease
from tasks.sign_in import Workspace, sign_in
from tests.conftest import LocalServer

LetFail = Callable[..., None]


@pytest.fixture
def session(environment: dict[str, str]) -> Session:
    return sign_in.fn(Workspace())


@pytest.fixture
def lease() -> Lease:
    return Lease.of_run("00000000-0000-0000-0000-0000000000c0", hours=1)


@pytest.fixture
def let_fail(server: LocalServer) -> Iterator[LetFail]:
    """Puts fault rules in force until the test ends."""

    def put(*rules: dict[str, Any]) -> None:
        server.admin("faults", {"faults": list(rules)})

    yield put
    put()
