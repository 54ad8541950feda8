"""A workspace for as long as a block runs, and what its tests ask of it beside Azure's own interface."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azureml_local import switch
from azureml_local.server import Address
from azureml_local.settings import Pace, Scenario

if TYPE_CHECKING:
    from azure.ai.ml import MLClient

_USUAL = Scenario()


@dataclass(frozen=True)
class LocalWorkspace:
    """A running workspace; `environment` are the variables that lead clients to it.

    What it cannot do is raised as `urllib.error.HTTPError`, whose body says why.
    """

    state: Path
    url: str
    environment: Mapping[str, str] = field(repr=False)

    def client(self, **options: Any) -> MLClient:
        """azure-ai-ml's client of the workspace, signed in; `options` are those of MLClient."""
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        names = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZUREML_WORKSPACE_NAME")
        return MLClient(DefaultAzureCredential(), *(self.environment[name] for name in names), **options)

    def registry(self, **options: Any) -> MLClient:
        """The client of the registry, `azureml`, signed in."""
        from azure.ai.ml import MLClient
        from azure.identity import DefaultAzureCredential

        return MLClient(DefaultAzureCredential(), registry_name="azureml", **options)

    def reset(self, *kinds: str) -> None:
        """Make everything as it was in the beginning, or what is named, such as "jobs" or "models"."""
        self.ask("reset", {"kinds": list(kinds)} if kinds else {})

    def save(self, name: str) -> None:
        """Keep everything that is in the workspace under a name; no job may run."""
        self.ask("snapshots/save", {"name": name})

    def load(self, name: str) -> None:
        """Have what was saved under a name in the place of everything."""
        self.ask("snapshots/load", {"name": name})

    def set_faults(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Put these fault rules in force in the place of those before; an empty list ends all faults."""
        self.ask("faults", list(rules))

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, each with the number of `calls` that it has seen, and the `hit` ones."""
        found: list[dict[str, Any]] = self.ask("faults")["faults"]
        return found

    def advance(self, seconds: float) -> None:
        """Move the clock by which tokens, schedules, idle nodes and bills go."""
        self.ask("clock", {"seconds": seconds})

    def ask(self, call: str, body: dict[str, Any] | list[Any] | None = None) -> dict[str, Any]:
        """The answer of a call below /admin; POST when there is a body."""
        return switch.ask(self.state, Address(self.url, 0), f"/admin/{call}", body)


@contextmanager
def serve(
    state: Path | None = None,
    *,
    pace: Pace = "instant",
    port: int = 0,
    scenario: Scenario = _USUAL,
) -> Iterator[LocalWorkspace]:
    """Run a workspace, and let this process' environment lead to it, while the block runs.

    Without a `state` it begins empty, and nothing of it is left. Raises CannotServe.
    """
    with (
        _directory(state) as directory,
        switch.joined(directory, pace=pace, port=port, scenario=scenario) as variables,
        _set(variables),
    ):
        yield LocalWorkspace(directory, variables["AZUREML_LOCAL_URL"], variables)


def know_the_cloud(name: str) -> None:
    """Let azureml-mlflow know a cloud that has come up after its import, at which it asks for all of them."""
    cloud = sys.modules.get("azureml.mlflow._common._cloud.cloud")
    if cloud is not None and name not in cloud.KNOWN_CLOUDS:
        cloud.KNOWN_CLOUDS.update(cloud.get_known_clouds())


@contextmanager
def _directory(state: Path | None) -> Iterator[Path]:
    if state is not None:
        yield state.absolute()
        return
    # A job may have left files that its user may not remove.
    with tempfile.TemporaryDirectory(prefix="azureml-local-", ignore_cleanup_errors=True) as directory:
        yield Path(directory)


@contextmanager
def _set(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    know_the_cloud(variables["AZUREML_CURRENT_CLOUD"])
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
