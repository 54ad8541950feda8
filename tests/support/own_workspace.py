"""A local workspace for one process of the sweep, with the component and the base model that it runs.

Others work in it too, its storage takes no keys, and the run may do no more than it must: as on Azure.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Scenario
from azureml_local.state import access
from azureml_local.wire import seed_file
from tests.support.tiny_model import install

# Kinds of documents that a run makes, changes or deletes.
_CHANGEABLE = ("jobs", "computes", "computeInstances", "onlineEndpoints", "deployments")


@dataclass(frozen=True)
class Workspace:
    """A running local workspace that this process' environment leads to.

    `theirs` is what other people have in it, by kind and name, as it was before anything of ours.
    """

    state: Path
    url: str
    theirs: Mapping[tuple[str, str], str] = field(repr=False, default_factory=dict)

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

    def made(self) -> tuple[str, ...]:
        """The computes, endpoints and deployments that are not other people's, whatever their tags say."""
        ours = _things(self.state).keys() - self.theirs.keys()
        return tuple(sorted(f"{kind} {name}" for kind, name in ours if kind != "jobs"))

    def touched(self) -> tuple[str, ...]:
        """What of other people's things is not as it was."""
        now = _things(self.state)
        return tuple(
            f"{kind} {name}" for (kind, name), was in self.theirs.items() if now.get((kind, name)) != was
        )


@contextmanager
def opened(state: Path) -> Iterator[Workspace]:
    """A workspace of its own below `state` while the block runs, with everything that a run needs."""
    os.environ["AZUREML_LOCAL_STATE"] = str(state)
    with switch.joined(state, scenario=Scenario(seed=seed_file.SHARED, storage="identity")) as variables:
        os.environ.update(variables)
        install(state / "base")  # by an owner: to publish a model takes a role in the registry
        workspace = Workspace(state, variables["AZUREML_LOCAL_URL"], _things(state))
        workspace.admin("permissions", {"roles": access.LEAST_PRIVILEGE})
        yield workspace


def _things(state: Path) -> dict[tuple[str, str], str]:
    """Every job, compute, endpoint and deployment, by kind and name, as the state has it."""
    query = f"SELECT kind, key, body FROM documents WHERE kind IN ({', '.join('?' for _ in _CHANGEABLE)})"
    with closing(sqlite3.connect(state / "workspace.sqlite", timeout=60)) as database:
        return {(kind, key): body for kind, key, body in database.execute(query, _CHANGEABLE)}
