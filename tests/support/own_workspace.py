"""A local workspace for one process of the sweep, with the component and the base model that it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azureml_local import switch
from azureml_local.server import Address
from tests.support.tiny_model import install


@dataclass(frozen=True)
class Workspace:
    """A running local workspace that this process' environment leads to."""

    state: Path
    url: str

    def admin(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The answer of an admin route, below /admin."""
        return switch.ask(self.state, Address(self.url, 0), f"/admin/{path}", body)

    def let_fail(self, *rules: dict[str, Any]) -> None:
        """Put these fault rules in force; none ends all faults."""
        self.admin("faults", {"faults": list(rules)})

    def hit(self) -> list[str]:
        """The calls that the rule in force has hit."""
        (rule,) = self.admin("faults")["faults"]
        return list(rule["hit"])


@contextmanager
def opened(state: Path) -> Iterator[Workspace]:
    """A workspace of its own below `state` while the block runs, with everything that a run needs."""
    os.environ["AZUREML_LOCAL_STATE"] = str(state)
    with switch.joined(state) as variables:
        os.environ.update(variables)
        _trust_only_the_workspace(state)
        install(state / "base")
        yield Workspace(state, variables["AZUREML_LOCAL_URL"])


def _trust_only_the_workspace(state: Path) -> None:
    """Take the public CAs out of the bundle: to load them took a fourth of a run's processor time.

    Nothing but the workspace is asked, over one connection or more for each of its addresses.
    """
    tls = state / "tls"
    (tls / "bundle.pem").write_bytes((tls / "ca.pem").read_bytes())
