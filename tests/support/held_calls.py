"""Calls of a run that the workspace holds back until the test has done something meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.conftest import LocalServer


@contextmanager
def held(server: LocalServer, method: str, path: str) -> Iterator[Callable[[], bool]]:
    """The first such call is answered after the block; yields whether it has come."""
    rule = {"kind": "delay", "seconds": None, "method": method, "path": path}
    server.admin("faults", {"faults": [rule]})
    try:
        yield lambda: bool(server.admin("faults")["faults"][0]["hit"])
    finally:
        server.admin("faults", {"faults": []})
